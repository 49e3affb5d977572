// Rows that nobody sees need not be drawn anew with every price.
import { useEffect, useState } from "preact/hooks";

/** Whether an element is in view, or nearly; true until the browser has said so. */
export function useSeen(ref) {
  const [seen, setSeen] = useState(true);
  useEffect(() => {
    const watch = new IntersectionObserver(([entry]) => setSeen(entry.isIntersecting), { scrollMargin: "200px" });
    watch.observe(ref.current);
    return () => watch.disconnect();
  }, []);
  return seen;
}
