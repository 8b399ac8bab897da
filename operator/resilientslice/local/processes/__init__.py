"""Processes of this machine: started, watched, entered in the ledger, ended; and where they are."""
