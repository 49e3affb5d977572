// The one reader of numbers that people type or paste: what a field sends is what this made of its text.

const MOST_DIGITS = 9;
/** How prices are read. */
export const RUPEES = { decimals: 2 };
/**
 * Digits alone, or in groups as in 1,00,000 (Indian) or 100,000 (Western): a comma never changes the value. The first
 * group begins with 1 to 9: nobody groups 0,500, there the comma is meant as the decimal sign.
 */
const WHOLE = /^(\d+|[1-9]\d?(,\d{2})*,\d{3}|[1-9]\d{0,2}(,\d{3})+)$/;

/**
 * Read a number above or at zero. Blanks around it and one ₹ before it are taken off; nothing else is guessed.
 * @param {unknown} typed what the field holds
 * @param {{decimals?: number}} [options] decimals at most; 0 for whole numbers
 * @returns {{text: string, wrong: null} | {text: null, wrong: string}} the plain decimal text, or how to write it
 */
export function readNumber(typed, { decimals = 0 } = {}) {
  const given = String(typed ?? "").trim();
  const number = given.replace(/^₹\s*/, "");
  const example = decimals ? "2500.05 or 2,500.05" : "1500 or 1,500";
  const refuse = (wrong) => ({ text: null, wrong });
  if (!number)
    return refuse(decimals ? `Write a price in rupees, as ${example}.` : `Write a whole number, as ${example}.`);
  if (/^[-+\u2212]/.test(number)) return refuse("Write it without a sign.");
  if (/[^\d.,]/.test(number)) return refuse(`Use only the digits 0 to 9, as in ${example}.`);
  const comma = /^(\d+),(\d{1,2})$/.exec(number);
  if (comma && decimals)
    return refuse(`Write ${comma[1]}.${comma[2]}: the decimal sign is a point, a comma only groups.`);
  if (/^0\d*,/.test(number) && decimals)
    return refuse(`The decimal sign is a point, a comma only groups, as in ${example}.`);
  const [whole, part, ...more] = number.split(".");
  if (more.length || part === "") return refuse(`Write one point with digits after it, as in ${example}.`);
  if (!WHOLE.test(whole)) return refuse(`Group with commas as in 1,00,000 or 100,000, or leave them out.`);
  if (part !== undefined && !decimals) return refuse(`Write a whole number, as ${example}.`);
  if (part?.length > decimals) return refuse(`Write at most ${decimals} decimals, as ${example}.`);
  const digits = whole.replaceAll(",", "").replace(/^0+(?=\d)/, "");
  if (digits.length > MOST_DIGITS) return refuse(`Write at most ${MOST_DIGITS} digits before the point.`);
  return { text: part === undefined ? digits : `${digits}.${part}`, wrong: null };
}

/** What `readNumber` makes of a text as a number, NaN when it is none. */
export const numberOf = (typed, options) => Number(readNumber(typed, options).text ?? Number.NaN);
