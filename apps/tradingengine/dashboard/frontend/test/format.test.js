import assert from "node:assert/strict";
import { test } from "node:test";
import * as format from "../src/lib/format.js";

test("numbers are grouped the Indian way", () => {
  assert.equal(format.price("1234567"), "12,34,567.00");
  assert.equal(format.price("0.05"), "0.05");
  assert.equal(format.count(12345678), "1,23,45,678");
  assert.equal(format.rupees("12480.5", { plus: true }), "+₹12,480.50");
  assert.equal(format.rupees(-667.5), "−₹667.50");
  assert.equal(format.rupees(-0.45, { plus: true, decimals: 0 }), "₹0");
  assert.deepEqual([format.price(-0.001, { plus: true }), format.percent(-0.004)], ["0.00", "0.00%"]);
});

test("short amounts are in lakh and crore", () => {
  assert.equal(format.short("1842000"), "₹18.42 L");
  assert.equal(format.short("12000000"), "₹1.20 Cr");
  assert.equal(format.short("99999"), "₹99,999");
  assert.equal(format.short("-150000"), "−₹1.50 L");
  assert.equal(format.volume(4523), "4.5 K");
});

test("what is no number is shown as a dash, never as NaN or zero", () => {
  for (const value of [null, undefined, "", "abc"]) {
    assert.equal(format.price(value), format.NONE);
    assert.equal(format.percent(value), format.NONE);
    assert.equal(format.tone(value), "");
  }
});

test("gain and loss have sign, arrow and tone", () => {
  assert.deepEqual([format.percent("0.31"), format.arrow("0.31"), format.tone("0.31")], ["+0.31%", "▲", "gain"]);
  assert.deepEqual([format.percent("-0.12"), format.arrow("-0.12"), format.tone("-0.12")], ["−0.12%", "▼", "loss"]);
  assert.deepEqual([format.percent(0), format.arrow(0), format.tone(0)], ["0.00%", "", ""]);
});

test("times are IST wherever the browser is", () => {
  const at = "2021-06-09T05:12:07.118Z";
  assert.equal(format.marketTime(at), "10:42:07");
  assert.equal(format.marketTime(at, { ms: true }), "10:42:07.118");
  assert.equal(format.date("2026-11-20T19:00:00Z"), "21 Nov 2026");
  assert.equal(format.minuteOfDay(Date.parse("2026-11-20T18:30:00Z")), 0);
});

test("a moment of another day names the day", () => {
  const now = Date.parse("2026-11-20T11:00:00Z");
  assert.equal(format.marketDayTime("2026-11-20T10:10:00Z", now), "15:40");
  assert.equal(format.marketDayTime("2026-11-23T03:45:00Z", now), "Mon 09:15");
});

test("ages and countdowns", () => {
  assert.deepEqual([80, 4200, 65_000, 7_300_000, null].map(format.age), ["80 ms", "4.2 s", "1 min", "2 h", "unknown"]);
  assert.equal(format.countdown(268_000), "4:28");
  assert.equal(format.countdown(3_723_000), "1:02:03");
  assert.equal(format.countdown(-5), "0:00");
});

test("a wall time says that it is one, a market time is the bare clock; there is no third", () => {
  const at = "2021-06-09T05:12:07.118Z";
  assert.equal(format.wallTime(at), "10:42:07 wall time");
  assert.equal(format.wallTime(at, { ms: true }), "10:42:07.118 wall time");
  assert.equal(format.wallTime(Date.parse(at)), format.wallTime(at));
  for (const none of [null, undefined, "", "never"]) {
    assert.equal(format.wallTime(none), format.NONE);
    assert.equal(format.marketTime(none), format.NONE);
  }
  assert.equal(format.time, undefined);
});
