import assert from "node:assert/strict";
import { test } from "node:test";
import { fillMarks } from "../src/chart/bars.js";
import { check, fromPaise, paise, productsFor, step } from "../src/lib/check.js";
import { feedAge, level, OTHER, PRICE } from "../src/lib/stale.js";

test("prices show their age from 1 s and are stale from 3 s, other data from 5 s and 15 s", () => {
  assert.deepEqual(
    [0, 999, 1000, 2999, 3000].map((ms) => level(ms, PRICE)),
    ["live", "live", "aged", "aged", "stale"],
  );
  assert.deepEqual(
    [4999, 5000, 14_999, 15_000].map((ms) => level(ms, OTHER)),
    ["live", "aged", "aged", "stale"],
  );
  assert.equal(level(null, PRICE), "stale");
});

test("the feed is as old as the youngest proof says", () => {
  assert.equal(feedAge({ age: 80, told: 1000, newest: null, now: 1500 }), 580);
  assert.equal(feedAge({ age: 80, told: 1000, newest: 1400, now: 1500 }), 100);
  assert.equal(feedAge({ age: 9000, told: 1000, newest: 1000, now: 11_000 }), 10_000);
  assert.equal(feedAge({ age: null, told: null, newest: null, now: 5 }), null);
});

test("paise are exact", () => {
  assert.equal(paise("2223.85"), 222385);
  assert.equal(paise("1,00,000"), 10_000_000);
  assert.equal(paise("0.1"), 10);
  for (const text of ["", "1.234", "-5", "1e3", "abc"]) assert.equal(paise(text), null);
  assert.equal(fromPaise(5), "0.05");
});

test("steps go from tick to tick, also from off the tick", () => {
  assert.equal(step("100.00", "0.05", 1), "100.05");
  assert.equal(step("100.00", "0.05", -1), "99.95");
  assert.equal(step("100.02", "0.05", 1), "100.05");
  assert.equal(step("100.02", "0.05", -1), "100.00");
  assert.equal(step("0.05", "0.05", -1), "0.05");
});

const share = {
  symbol: "NSE:TCS",
  kind: "equity",
  tradable: true,
  lot_size: 1,
  tick_size: "0.05",
  freeze_quantity: 1000,
};
const draft = { side: "BUY", type: "LIMIT", quantity: "10", price: "100.05", trigger_price: "", validity: "DAY" };
const cases = [
  ["a good limit order", {}, share, []],
  ["no symbol", {}, null, ["symbol"]],
  ["an index", {}, { ...share, tradable: false }, ["symbol"]],
  ["no quantity", { quantity: "" }, share, ["quantity"]],
  ["a quantity of zero", { quantity: "0" }, share, ["quantity"]],
  ["broken lots", { quantity: "80" }, { ...share, lot_size: 75 }, ["quantity"]],
  ["above the freeze quantity", { quantity: "1001" }, share, ["quantity"]],
  ["off the tick", { price: "100.03" }, share, ["price"]],
  ["no price", { price: "" }, share, ["price"]],
  ["a market order needs no price", { type: "MARKET", price: "" }, share, []],
  ["a stop needs a trigger", { type: "SL_M" }, share, ["trigger_price"]],
  ["an SL buy below its trigger", { type: "SL", trigger_price: "101.00" }, share, ["price"]],
  ["an SL sell above its trigger", { side: "SELL", type: "SL", trigger_price: "99.00" }, share, ["price"]],
  ["a good SL buy", { type: "SL", trigger_price: "100.00" }, share, []],
  ["an IOC stop", { type: "SL_M", trigger_price: "100.00", validity: "IOC" }, share, ["validity"]],
];
for (const [name, change, instrument, fields] of cases) {
  test(`ticket: ${name}`, () => assert.deepEqual(Object.keys(check({ ...draft, ...change }, instrument)), fields));
}

test("shares trade as CNC or MIS, contracts as NRML or MIS", () => {
  assert.deepEqual(productsFor(share), ["CNC", "MIS"]);
  assert.deepEqual(productsFor({ kind: "future" }), ["NRML", "MIS"]);
});

const bar = (time, close, volume) => ({ time, open: close, high: close, low: close, close, volume });

test("fills stand on the bar that holds them, by market time", () => {
  const bars = [bar(0, 1, 1), bar(60, 1, 1), bar(120, 1, 1)];
  const order = {
    id: "1",
    symbol: "A",
    side: "BUY",
    filled_quantity: 5,
    average_price: "1.00",
    market_time: "1970-01-01T00:01:30Z",
  };
  assert.deepEqual(
    fillMarks([order, { ...order, symbol: "B" }, { ...order, filled_quantity: 0 }], "A", bars).map((mark) => [
      mark.time,
      mark.side,
      mark.quantity,
    ]),
    [[60, "BUY", 5]],
  );
  assert.deepEqual(fillMarks([order], "A", []), []);
});
