import htm from "htm";
import { h } from "preact";

/** Templates without a compiler. */
export const html = htm.bind(h);
