// Lists of /v1 come in pages; what the page shows whole is read whole.

/** Most pages of one list, 500 items each: 10,000 are more than anybody reads. */
export const MOST_PAGES = 20;

/**
 * All pages of a list as one; `next_cursor` is still set when there were more than MOST_PAGES.
 * @param {string} path without a query
 * @param {(path: string) => Promise<{items: any[], next_cursor: string | null}>} get
 */
export async function readWhole(path, get) {
  const whole = await get(path);
  for (let read = 1; whole.next_cursor && read < MOST_PAGES; read++) {
    const more = await get(`${path}?cursor=${encodeURIComponent(whole.next_cursor)}`);
    whole.items.push(...more.items);
    whole.next_cursor = more.next_cursor;
  }
  return whole;
}
