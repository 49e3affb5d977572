import assert from "node:assert/strict";
import { test } from "node:test";
import { check, paise, step } from "../src/lib/check.js";
import { numberOf, RUPEES, readNumber } from "../src/lib/numbers.js";

const price = (typed) => readNumber(typed, RUPEES);

for (const [typed, text] of [
  ["2500.05", "2500.05"],
  ["2,500.05", "2500.05"],
  ["1,00,000.00", "100000.00"],
  ["12,34,567.5", "1234567.5"],
  ["100,000.00", "100000.00"],
  ["1,234,567", "1234567"],
  [" 2,500.05 ", "2500.05"],
  ["\u00a02,500.05\u202f", "2500.05"],
  ["₹2,500.05", "2500.05"],
  ["₹ 2,500.05", "2500.05"],
  ["0.05", "0.05"],
  ["007", "7"],
  ["1,500", "1500"],
  ["10,500", "10500"],
  ["100,500", "100500"],
  ["999999999.95", "999999999.95"],
]) {
  test(`a price typed as "${typed}" is ${text}`, () => assert.deepEqual(price(typed), { text, wrong: null }));
}

for (const [typed, told] of [
  ["", /^Write a price in rupees, as 2500\.05 or 2,500\.05\.$/],
  [undefined, /price in rupees/],
  ["   ", /price in rupees/],
  ["₹", /price in rupees/],
  ["2500,05", /^Write 2500\.05: the decimal sign is a point/],
  ["2500,5", /^Write 2500\.5:/],
  ["2,50", /^Write 2\.50:/],
  ["0,500", /^The decimal sign is a point, a comma only groups, as in 2500\.05 or 2,500\.05\.$/],
  ["0,050", /decimal sign is a point/],
  ["00,005", /decimal sign is a point/],
  ["0,05,000", /decimal sign is a point/],
  ["0,500.00", /decimal sign is a point/],
  ["01,500", /decimal sign is a point/],
  ["₹0,500", /decimal sign is a point/],
  ["2,500,05", /Group with commas as in 1,00,000 or 100,000/],
  ["1,00,00,0.00", /Group with commas/],
  ["1,0000", /Group with commas/],
  ["12,345,67,890", /Group with commas/],
  [",500", /Group with commas/],
  ["1,,000", /Group with commas/],
  ["2500,", /Group with commas/],
  [".05", /Group with commas|digits/],
  ["2.500,05", /Write|Group|decimals/],
  ["2.500.05", /one point/],
  ["2500.", /one point/],
  ["2500.055", /at most 2 decimals/],
  ["-5", /without a sign/],
  ["\u22125", /without a sign/],
  ["+5", /without a sign/],
  ["1e3", /only the digits 0 to 9/],
  ["2 500.05", /only the digits 0 to 9/],
  ["2500/-", /only the digits 0 to 9/],
  ["२५००", /only the digits 0 to 9/],
  ["２５００", /only the digits 0 to 9/],
  ["₹₹5", /only the digits 0 to 9/],
  ["1234567890", /at most 9 digits/],
]) {
  test(`a price typed as "${typed}" is refused with how to write it`, () => {
    const { text, wrong } = price(typed);
    assert.equal(text, null);
    assert.match(wrong, told);
  });
}

test("a quantity is a whole number, grouped or not; nothing of it is left out in silence", () => {
  assert.deepEqual(readNumber("1,500"), { text: "1500", wrong: null });
  assert.deepEqual(readNumber("1,00,000"), { text: "100000", wrong: null });
  for (const typed of ["1.5", "1.0", "1e3", "-5", "10 lots", "", "1,5", "0,500", "00,005"]) {
    assert.equal(readNumber(typed).text, null, typed);
    assert.ok(Number.isNaN(numberOf(typed)), typed);
  }
  assert.match(readNumber("1.5").wrong, /^Write a whole number, as 1500 or 1,500\.$/);
});

test("a tick from a text that is no price makes no price", () => {
  for (const text of ["2500,05", "0,500", "abc", "1e3", "-5", "2500.", "2 500", "1234567890", "  ", "", undefined])
    for (const direction of [1, -1]) assert.equal(step(text, "0.05", direction), null, `${text}`);
  assert.equal(step("0", "0.05", 1), "0.05");
});

test("the ticket's check and its ticks read by the same reader", () => {
  assert.equal(paise("1,00,000.00"), 10_000_000);
  assert.equal(paise("2500,05"), null);
  assert.equal(step("2,500.00", "0.05", 1), "2500.05");
  const share = { tradable: true, lot_size: 1, tick_size: "0.05", freeze_quantity: 100_000 };
  const draft = {
    side: "BUY",
    type: "SL",
    quantity: "1,500",
    price: "2,500.05",
    trigger_price: "2,500",
    validity: "DAY",
  };
  assert.deepEqual(check(draft, share), {});
  assert.deepEqual(check({ ...draft, price: "2500,05", trigger_price: "1e3", quantity: "1.5" }, share), {
    quantity: "Write a whole number, as 1500 or 1,500.",
    price: "Write 2500.05: the decimal sign is a point, a comma only groups.",
    trigger_price: "Use only the digits 0 to 9, as in 2500.05 or 2,500.05.",
  });
  assert.deepEqual(check({ ...draft, quantity: "1,00,001" }, share), { quantity: "At most 1,00,000 in one order." });
  assert.deepEqual(check({ ...draft, price: "0" }, share).price, "A price above zero.");
});
