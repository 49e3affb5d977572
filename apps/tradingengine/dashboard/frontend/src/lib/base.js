// What stands before every path of this page: empty, or `/r/N` where the Gateway keeps people on a release by path.
export const BASE = document.documentElement.dataset.base ?? "";

/** The path of this page without what stands before it. */
export const path = () => location.pathname.slice(BASE.length);
