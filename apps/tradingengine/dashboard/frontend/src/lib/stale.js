// When a number is too old. Prices age by the feed's heartbeat, not by the last trade; other data by its last proof.

export const PRICE = { aged: 1000, stale: 3000 };
export const OTHER = { aged: 5000, stale: 15_000 };

/**
 * "live" | "aged" (show the age) | "stale" (dim it)
 * @param {number|null} ms @param {{aged: number, stale: number}} rule
 */
export function level(ms, rule) {
  if (ms === null || ms >= rule.stale) return "stale";
  return ms >= rule.aged ? "aged" : "live";
}

/**
 * Age of the prices in ms: the youngest of what the heartbeat says and what the newest quote proves; null for never.
 * @param {{age: number|null, told: number|null, newest: number|null, now: number}} facts `age` as
 *   told at `told`, all epoch ms of the server's clock
 */
export function feedAge({ age, told, newest, now }) {
  const byStatus = age === null || told === null ? null : age + Math.max(0, now - told);
  const byQuote = newest === null ? null : Math.max(0, now - newest);
  if (byStatus === null) return byQuote;
  return byQuote === null ? byStatus : Math.min(byStatus, byQuote);
}
