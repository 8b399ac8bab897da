"""What all parts of a runtime that start processes, or look after them, share."""

from dataclasses import dataclass

from resilientslice.local.processes.folder import StateFolder
from resilientslice.local.processes.ledger import Ledger
from resilientslice.local.processes.place import PortBook
from resilientslice.local.processes.ports import Ports
from resilientslice.local.processes.report import Journal


@dataclass(frozen=True, slots=True)
class Machine:
    """`ports` are taken anew by each start; those of `book` stay."""

    folder: StateFolder
    ledger: Ledger
    ports: Ports
    book: PortBook
    journal: Journal
