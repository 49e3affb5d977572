import assert from "node:assert/strict";
import { test } from "node:test";
import { MOST_PAGES, readWhole } from "../src/lib/pages.js";

/** A list of numbers in pages of two, whose cursors need to be written as a query takes them. */
function listOf(count, asked) {
  return async (path) => {
    asked.push(path);
    const cursor = new URL(path, "http://pod").searchParams.get("cursor");
    const start = cursor ? Number(cursor.slice(1)) : 0;
    const items = Array.from({ length: Math.min(2, count - start) }, (_, index) => start + index);
    return { items, next_cursor: start + 2 < count ? `&${start + 2}` : null };
  };
}

test("a list of several pages is read whole, in its order", async () => {
  const asked = [];
  const whole = await readWhole("/v1/positions", listOf(5, asked));
  assert.deepEqual(whole, { items: [0, 1, 2, 3, 4], next_cursor: null });
  assert.deepEqual(asked, ["/v1/positions", "/v1/positions?cursor=%262", "/v1/positions?cursor=%264"]);
});

test("one page is one call, and a list without an end ends", async () => {
  const asked = [];
  assert.deepEqual((await readWhole("/v1/positions", listOf(2, asked))).items, [0, 1]);
  assert.equal(asked.length, 1);
  const endless = await readWhole("/v1/positions", listOf(1e6, asked));
  assert.equal(endless.items.length, 2 * MOST_PAGES);
  assert.equal(endless.next_cursor, `&${2 * MOST_PAGES}`);
});
