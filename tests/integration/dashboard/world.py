"""A small market in memory for page tests: quotes that move, orders that fill by the quote, halts, and switches that
break parts of it."""

import itertools
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

Document = dict[str, Any]

LISTING = (
    ("NSE:NIFTY", "NIFTY 50", "index", 1_574_265),
    ("NSE:BANKNIFTY", "BANK NIFTY", "index", 3_510_420),
    ("BSE:SENSEX", "SENSEX", "index", 5_227_530),
    ("NSE:INDIAVIX", "INDIA VIX", "index", 1_487),
    ("NSE:RELIANCE", "Reliance Industries", "equity", 222_385),
    ("NSE:HDFCBANK", "HDFC Bank", "equity", 148_620),
    ("NSE:INFY", "Infosys", "equity", 139_690),
    ("NSE:TCS", "Tata Consultancy Services", "equity", 319_000),
    ("NSE:SBIN", "State Bank of India", "equity", 42_810),
    ("NSE:ICICIBANK", "ICICI Bank", "equity", 63_445),
    ("NSE:ITC", "ITC", "equity", 20_575),
    ("NSE:TATASTEEL", "Tata Steel", "equity", 112_790),
)
TICK = 5
START = datetime(2021, 6, 9, 5, 12, 7, tzinfo=UTC)  # 10:42:07 IST of a recorded day
SPEED = 4


def rupees(paise: int | None) -> str | None:
    """Rupees as text."""
    if paise is None:
        return None
    sign = "-" if paise < 0 else ""
    return f"{sign}{abs(paise) // 100}.{abs(paise) % 100:02d}"


def paise_of(text: str) -> int:
    """Paise of a rupees text."""
    whole, _, part = text.partition(".")
    return int(whole) * 100 + int((part or "0").ljust(2, "0"))


def wire(at: datetime) -> str:
    """RFC 3339."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Price:
    """Paise of one symbol."""

    last: int
    close: int
    open: int
    high: int
    low: int
    volume: int = 120_000


@dataclass
class World:
    """Everything that the fake answers from; tests set the switches."""

    seed: int = 7
    edge_up: bool = True
    edge_deaf: bool = False  # takes no order, while the status still calls its link good
    feed_frozen: bool = False
    slow: bool = False
    broken: dict[str, tuple[int, Document]] = field(default_factory=dict)
    broken_once: dict[str, tuple[int, Document]] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)
    halt_delivers: bool = True
    not_stored_yet: dict[str, int] = field(default_factory=dict)  # newest minutes that the next answer still lacks
    roles: tuple[str, ...] = ("trader",)
    release: str = "3"
    accepted_release: str = "3"
    canary: Document | None = None
    prices: dict[str, Price] = field(default_factory=dict)
    orders: dict[str, Document] = field(default_factory=dict)
    keys: dict[str, tuple[Document, str]] = field(default_factory=dict)
    positions: dict[tuple[str, str], Document] = field(default_factory=dict)
    alerts: list[Document] = field(default_factory=list)
    halt: Document | None = None
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.started = datetime.now(UTC)
        self.frozen_at: datetime | None = None
        self.edge_lost_at: datetime | None = None
        self.numbers = itertools.count(1)
        self.spark: list[int] = []
        for symbol, _, _, paise in LISTING:
            close = round(paise * self.random.uniform(0.985, 1.012))
            self.prices[symbol] = Price(paise, close, close, max(paise, close), min(paise, close))
        self.history = {symbol: self._history(symbol) for symbol in self.prices}

    def _history(self, symbol: str) -> list[list[int]]:
        """Closed one-minute bars [epoch s, o, h, l, c, v] that end where the price stands now."""
        last, minute = self.prices[symbol].last, int(self.market_time().timestamp()) // 60 * 60
        step, bars = max(TICK, last // 2500), []
        for back in range(1, 361):
            opened = max(TICK, last + self.random.randint(-step, step))
            high = max(opened, last) + self.random.randint(0, step // 2)
            low = max(1, min(opened, last) - self.random.randint(0, step // 2))
            bars.append([minute - back * 60, opened, high, low, last, self.random.randint(800, 9000)])
            last = opened
        return bars[::-1]

    def market_time(self) -> datetime:
        """The tape's time."""
        return START + (datetime.now(UTC) - self.started) * SPEED

    def step(self) -> list[str]:
        """Move the prices once; the symbols that moved. Fills what the new prices allow."""
        if self.feed_frozen or not self.edge_up:
            return []
        moved = []
        for symbol, price in self.prices.items():
            if self.random.random() < 0.55:
                size = max(TICK, price.last // 6000 // TICK * TICK)
                price.last = max(TICK, price.last + self.random.choice((-size, -TICK, TICK, size)))
                price.high, price.low = max(price.high, price.last), min(price.low, price.last)
                price.volume += self.random.randint(1, 400)
                moved.append(symbol)
        self._form(moved)
        for order in [item for item in self.orders.values() if item["state"] in ("OPEN", "PARTIALLY_FILLED")]:
            self._match(order)
        return moved

    def _form(self, moved: list[str]) -> None:
        minute = int(self.market_time().timestamp()) // 60 * 60
        for symbol in moved:
            bars, last = self.history[symbol], self.prices[symbol].last
            if bars[-1][0] < minute:
                bars.append([minute, last, last, last, last, 0])
            bar = bars[-1]
            bar[2], bar[3], bar[4] = max(bar[2], last), min(bar[3], last), last
            bar[5] += self.random.randint(1, 60)

    def feed_age_ms(self) -> int:
        """Age of the prices."""
        since = self.frozen_at if self.feed_frozen else self.edge_lost_at
        return 40 if since is None else 40 + round((datetime.now(UTC) - since).total_seconds() * 1000)

    def freeze(self) -> None:
        """The feed falls silent from now on."""
        self.feed_frozen, self.frozen_at = True, datetime.now(UTC)

    def thaw(self) -> None:
        """The feed speaks again."""
        self.feed_frozen, self.frozen_at = False, None

    def cut(self) -> None:
        """The link to the edge is cut."""
        self.edge_up, self.edge_lost_at = False, datetime.now(UTC) - timedelta(seconds=4)

    def heal(self) -> None:
        """The link is back."""
        self.edge_up, self.edge_lost_at = True, None

    def quote(self, symbol: str) -> Document:
        """Quote."""
        price = self.prices[symbol]
        change = price.last - price.close
        return {
            "symbol": symbol,
            "last": rupees(price.last),
            "change": rupees(change),
            "change_percent": rupees(round(change * 10_000 / price.close)),
            "open": rupees(price.open),
            "high": rupees(price.high),
            "low": rupees(price.low),
            "previous_close": rupees(price.close),
            "volume": price.volume,
            "bid": rupees(price.last - TICK),
            "ask": rupees(price.last + TICK),
            "bid_quantity": 640,
            "ask_quantity": 1180,
            "at": wire(self.frozen_at or self.edge_lost_at or datetime.now(UTC)),
            "market_time": wire(self.market_time()),
        }

    def instruments(self, query: str = "") -> list[Document]:
        """Instruments that match."""
        wanted = query.lower().strip()
        return [
            {
                "symbol": symbol,
                "exchange": symbol.split(":")[0],
                "segment": f"{symbol.split(':')[0]}_{'INDEX' if kind == 'index' else 'EQ'}",
                "name": name,
                "kind": kind,
                "lot_size": 1,
                "tick_size": "0.05",
                "freeze_quantity": 100_000 if kind == "equity" else 0,
                "tradable": kind != "index",
            }
            for symbol, name, kind, _ in LISTING
            if wanted in symbol.lower() or wanted in name.lower()
        ]

    def place(self, body: Document, *, purpose: str = "ENTRY", source: str = "person") -> Document:
        """Take an order: it is sent, acknowledged and maybe filled at once; undeliverable while the edge is cut."""
        now = datetime.now(UTC)
        order: Document = {
            "id": f"0190c7a0-0000-7000-8000-{next(self.numbers):012d}",
            "account": "paper", "broker": "paper", "symbol": body["symbol"], "side": body["side"],
            "type": body.get("type", "MARKET"), "product": body.get("product", "CNC"),
            "validity": body.get("validity", "DAY"), "quantity": int(body["quantity"]), "filled_quantity": 0,
            "price": body.get("price"), "trigger_price": body.get("trigger_price"), "average_price": None,
            "disclosed_quantity": 0, "amo": False, "purpose": purpose, "parent_id": None, "group_id": None, "slice": 0,
            "state": "INTENT", "delivery": "pending", "cancel_requested": False, "reason": None, "source": source,
            "strategy": "ema-cross" if source == "strategy" else None,
            "placed_by": "asha" if source == "person" else None, "dry_run": False,
            "expires_at": wire(now + timedelta(seconds=30)), "created_at": wire(now), "updated_at": wire(now),
            "market_time": wire(self.market_time()),
            "timeline": [{"state": "INTENT", "at": wire(now), "market_time": None, "ms": 0}],
        }  # fmt: skip
        self.orders[order["id"]] = order
        if not self.edge_up or self.edge_deaf:
            self._move(order, "NOT_DELIVERED", 1)
            order["delivery"] = "not_delivered"
            return order
        order["delivery"] = "delivered"
        self._move(order, "SENT", 4)
        self._move(order, "OPEN", 39)
        self._match(order)
        return order

    def _move(self, order: Document, state: str, ms: int, **extra: Any) -> None:
        at = datetime.now(UTC)
        order["state"], order["updated_at"] = state, wire(at)
        told = {"state": state, "at": wire(at), "market_time": wire(self.market_time()), "ms": ms, **extra}
        order["timeline"] = [*order["timeline"], told]

    def _match(self, order: Document) -> None:
        price, buy = self.prices[order["symbol"]], order["side"] == "BUY"
        at = price.last + TICK if buy else price.last - TICK
        if order["type"] in ("SL", "SL_M"):
            trigger = paise_of(order["trigger_price"])
            if (price.last < trigger) if buy else (price.last > trigger):
                return
        if order["price"] is not None and not (
            at <= paise_of(order["price"]) if buy else at >= paise_of(order["price"])
        ):
            return
        order["filled_quantity"], order["average_price"] = order["quantity"], rupees(at)
        self._move(order, "FILLED", 41, quantity=order["quantity"], price=rupees(at))
        self._book(order, at)

    def _book(self, order: Document, at: int) -> None:
        key = (order["symbol"], order["product"])
        held = self.positions.setdefault(
            key, {"quantity": 0, "average": 0, "realised": 0, "strategy": order["strategy"]}
        )
        signed = order["quantity"] if order["side"] == "BUY" else -order["quantity"]
        if held["quantity"] * signed >= 0:
            total = held["quantity"] + signed
            held["average"] = round((held["average"] * abs(held["quantity"]) + at * abs(signed)) / abs(total))
        else:
            closing = min(abs(signed), abs(held["quantity"]))
            held["realised"] += (at - held["average"]) * closing * (1 if held["quantity"] > 0 else -1)
        held["quantity"] += signed

    def position_documents(self) -> list[Document]:
        """Positions."""
        found = []
        for (symbol, product), held in self.positions.items():
            last = self.prices[symbol].last
            unrealised = (last - held["average"]) * held["quantity"]
            cost = abs(held["average"] * held["quantity"])
            found.append(
                {
                    "account": "paper", "broker": "paper", "symbol": symbol, "product": product,
                    "quantity": held["quantity"], "average_price": rupees(held["average"]), "last": rupees(last),
                    "pnl": rupees(unrealised + held["realised"]),
                    "pnl_percent": rupees(round(unrealised * 10_000 / cost)) if cost else None,
                    "realised": rupees(held["realised"]), "unrealised": rupees(unrealised), "stop": None,
                    "strategy": held["strategy"],
                }
            )  # fmt: skip
        return found

    def day_pnl(self) -> int:
        """Paise."""
        return sum(
            (self.prices[symbol].last - held["average"]) * held["quantity"] + held["realised"]
            for (symbol, _), held in self.positions.items()
        )

    def summary(self) -> Document:
        """The four tiles."""
        pnl, states = self.day_pnl(), [order["state"] for order in self.orders.values()]
        exposure = sum(abs(self.prices[s].last * held["quantity"]) for (s, _), held in self.positions.items())
        return {
            "pnl": {
                "value": rupees(pnl),
                "percent": rupees(round(pnl * 10_000 / 150_000_000)),
                "loss_limit": "25000.00",
                "sparkline": [rupees(value) for value in self.spark[-60:]],
            },
            "exposure": {"value": rupees(exposure), "limit": "1500000.00"},
            "orders": {
                "filled": states.count("FILLED"),
                "open": sum(state in ("INTENT", "SENT", "OPEN", "PARTIALLY_FILLED") for state in states),
                "rejected": states.count("REJECTED"),
                "total": len(states),
                "median_ack_ms": 39 if states else None,
            },
            "strategies": {
                "running": 1,
                "paused": 1,
                "items": [
                    {"name": "ema-cross", "state": "running", "symbol": "NSE:TCS", "pnl": "612.50", "orders": 4},
                    {"name": "ema-slow", "state": "paused", "symbol": "NSE:SBIN", "pnl": "-107.00", "orders": 2},
                ],
            },
        }

    def status(self) -> Document:
        """Status."""
        age = self.feed_age_ms()
        halted = self.halt is not None and self.halt["delivered_at"] is not None
        stable = {"slot": "a", "release": "3", "version": "0.1.0"}
        return {
            "mode": "paper",
            "environment": "development",
            "now": wire(datetime.now(UTC)),
            "market": {
                "source": "replay",
                "market_time": wire(self.market_time()),
                "speed": SPEED,
                "run": "run-20210609",
                "sessions": [
                    {"segment": "NSE_EQ", "state": "open", "until": "2021-06-09T10:00:00Z"},
                    {"segment": "NSE_FO", "state": "open", "until": "2021-06-09T10:10:00Z"},
                ],
            },
            "feed": {"state": "live" if age <= 3000 else "stale", "age_ms": age},
            "edge": {
                "state": "connected" if self.edge_up else "unreachable",
                "age_ms": 180 if self.edge_up else 4200,
                "epoch": 4,
                "trading_state": "HALTED" if halted else "ACTIVE",
                "unshipped": 0 if self.edge_up else 12,
                "version": "0.1.0",
            },
            "brokers": [{"name": "paper", "state": "connected"}],
            "halt": self.halt,
            "release": self.release_document(stable),
            "user_release": {
                "release": (self.canary or stable)["release"],
                "slot": (self.canary or stable)["slot"],
                "version": (self.canary or stable)["version"],
                "weight": 10 if self.canary else 100,
            },
        }

    def release_document(self, stable: Document) -> Document:
        """The release that people see."""
        return {
            "phase": "Releasing" if self.canary else "Running",
            "version": "0.1.0",
            "stable": stable,
            "canary": self.canary,
            "weights": {"a": 90, "b": 10} if self.canary else {"a": 100, "b": 0},
            "step": 0,
            "steps": [
                {"weight": 10, "hold_seconds": 120},
                {"weight": 50, "hold_seconds": 120},
                {"weight": 100, "hold_seconds": 0},
            ],
            "step_started_at": wire(self.started),
            "reason": "",
            "checks": [{"name": "error-rate", "value": "0.0004" if self.canary else None, "limit": "0.01"}],
            "at": wire(datetime.now(UTC)),
        }

    def ask_halt(self, by: str, reason: str | None) -> Document:
        """Halt: closes the gate and cancels entries, if the edge can be reached."""
        now = wire(datetime.now(UTC))
        entries = [
            o for o in self.orders.values() if o["state"] in ("OPEN", "PARTIALLY_FILLED") and o["purpose"] == "ENTRY"
        ]
        self.halt = self.halt or {
            "id": "halt-1", "state": "requested", "by": by, "reason": reason, "requested_at": now, "delivered_at": None,
            "confirmed_at": None, "entries": {"total": len(entries), "cancelled": 0}, "release_requested_at": None,
            "released_at": None,
        }  # fmt: skip
        if self.halt_delivers and self.edge_up:
            for order in entries:
                self._move(order, "CANCELLED", 12)
            self.halt |= {"state": "confirmed", "delivered_at": now, "confirmed_at": now,
                          "entries": {"total": len(entries), "cancelled": len(entries)}}  # fmt: skip
        return self.halt

    def busy_day(self) -> None:
        """Positions and orders of an ordinary morning."""
        for symbol, side, quantity, product, source in (
            ("NSE:RELIANCE", "BUY", 150, "MIS", "person"),
            ("NSE:TCS", "BUY", 40, "MIS", "strategy"),
            ("NSE:HDFCBANK", "BUY", 80, "CNC", "person"),
            ("NSE:INFY", "SELL", 120, "MIS", "strategy"),
            ("NSE:SBIN", "BUY", 500, "CNC", "person"),
        ):
            self.place({"symbol": symbol, "side": side, "quantity": quantity, "product": product}, source=source)
        closed = {"symbol": "NSE:ITC", "quantity": 200, "product": "MIS"}
        self.place({**closed, "side": "BUY"}, source="strategy")
        self.place({**closed, "side": "SELL"}, purpose="EXIT", source="strategy")
        refused = self.place(
            {"symbol": "NSE:TATASTEEL", "side": "BUY", "quantity": 90, "type": "LIMIT", "price": "900.00"}
        )
        self._move(refused, "REJECTED", 6)
        refused["reason"] = {"code": "price_band", "message": "below the lower price band of 1,015.10",
                             "mend": "send at or above it"}  # fmt: skip
        self.place(
            {"symbol": "NSE:TCS", "side": "BUY", "quantity": 90, "type": "LIMIT", "price": "3100.00", "product": "MIS"}
        )
        self.alerts.append(
            {
                "id": "alert-1",
                "severity": "warning",
                "title": "Order rejected",
                "detail": "BUY 90 TATASTEEL: below the lower price band.",
                "mend": "Send at or above 1,015.10.",
                "at": wire(datetime.now(UTC)),
            }
        )
        value = 0
        for _ in range(60):
            value += self.random.randint(-90_000, 130_000)
            self.spark.append(value // 240)
