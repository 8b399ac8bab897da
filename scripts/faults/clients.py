"""Clients of the shop: they repeat, ask twice at once, lose patience, and sometimes never come back."""

import asyncio
import random
from collections import Counter
from contextlib import suppress
from typing import Any

import aiohttp
from scripts.faults.stores import until

_PRICES = {"MUG-01": 900, "MUG-02": 950, "TEA-EARL": 620, "POT-1L": 3450, "TRAY-OAK": 2700}
_MOODS = {"patient": 4, "repeats": 2, "twins": 3, "hasty": 4, "leaves": 3}
CLIENTS = 6
HEALED_SECONDS = 60.0


class Clients:
    """What was asked and answered. `stop` ends them, once each has its answer: the shop is healed by then."""

    def __init__(self, http: aiohttp.ClientSession, urls: list[str], seed: int) -> None:
        self._http, self._urls, self._seed = http, urls, seed
        self.stop = asyncio.Event()
        self.acknowledged: dict[str, int] = {}
        self.ids_by_key: dict[str, set[str]] = {}
        self.answers: Counter[str] = Counter()
        self.asked = 0
        self.refused: list[str] = []
        """Answers that no fault explains."""

    async def run(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(CLIENTS)))

    async def _client(self, number: int) -> None:
        dice = random.Random(f"{self._seed}-{number}")
        turn = 0
        while not self.stop.is_set():
            turn += 1
            await self._order(dice, f"{self._seed}-{number}-{turn}")
            await asyncio.sleep(dice.uniform(0.0, 0.05))

    async def _order(self, dice: random.Random, key: str) -> None:
        self.asked += 1
        items = [{"sku": dice.choice(list(_PRICES)), "quantity": dice.randint(1, 3)} for _ in range(dice.randint(1, 3))]
        mood = dice.choices(list(_MOODS), weights=list(_MOODS.values()))[0]
        if mood == "twins":
            await asyncio.gather(*(self._ask(key, items, turn, within=5.0) for turn in range(4)))
        if mood in {"hasty", "leaves"}:
            await self._ask(key, items, dice.randint(0, 1), within=dice.uniform(0.001, 0.06))
        if mood == "leaves":
            return
        turn = iter(range(dice.randint(0, 1), 10**9))

        async def taken() -> bool:
            if await self._ask(key, items, next(turn), within=5.0):
                return True
            await asyncio.sleep(0.1)
            return False

        # A fault lasts for a second or two; only what is still refused long after it is a finding.
        await until(taken, f"order {key}", seconds=HEALED_SECONDS)
        if mood == "repeats":
            await self._ask(key, items, next(turn), within=5.0)

    async def _ask(self, key: str, items: list[dict[str, Any]], turn: int, *, within: float) -> bool:
        headers = {"Idempotency-Key": key, "X-Tenant": "gold"}
        url = f"{self._urls[turn % len(self._urls)]}/orders"
        patience = aiohttp.ClientTimeout(total=within)
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self._http.post(url, json={"items": items}, headers=headers, timeout=patience) as response:
                document = await response.json(content_type=None)
                self._note(key, items, response.status, document)
                return response.status == 201
        self.answers["none"] += 1
        return False

    def _note(self, key: str, items: list[dict[str, Any]], status: int, document: Any) -> None:
        self.answers[str(status)] += 1
        if status == 201:
            self.acknowledged[document["order_id"]] = sum(_PRICES[each["sku"]] * each["quantity"] for each in items)
            self.ids_by_key.setdefault(key, set()).add(document["order_id"])
        elif status not in {502, 503, 504}:
            self.refused.append(f"key {key}: {status} {document}")
