// An act that needs a hold: pointer, touch, or a key kept down for a second. Letting go early does nothing.
import { useEffect, useRef, useState } from "preact/hooks";

export const HOLD_MS = 1000;

/**
 * Props of a button that acts after a hold, and whether it is being held.
 * @param {() => void} act @param {{shortcut?: (event: KeyboardEvent) => boolean}} [options]
 */
export function useHold(act, { shortcut } = {}) {
  const [held, setHeld] = useState(false);
  const timer = useRef(0);
  const latest = useRef(act);
  latest.current = act;

  const start = () => {
    if (timer.current) return;
    setHeld(true);
    timer.current = setTimeout(() => {
      stop();
      latest.current();
    }, HOLD_MS);
  };
  const stop = () => {
    clearTimeout(timer.current);
    timer.current = 0;
    setHeld(false);
  };
  useEffect(() => stop, []);
  useEffect(() => {
    if (!shortcut) return undefined;
    const down = (event) => {
      if (!shortcut(event)) return;
      event.preventDefault();
      if (!event.repeat) start();
    };
    const up = (event) => {
      if (["h", "control", "shift"].includes(event.key.toLowerCase())) stop();
    };
    addEventListener("keydown", down);
    addEventListener("keyup", up);
    addEventListener("blur", stop);
    return () => {
      removeEventListener("keydown", down);
      removeEventListener("keyup", up);
      removeEventListener("blur", stop);
    };
  }, []);

  const isPress = (event) => event.key === " " || event.key === "Enter";
  return {
    held,
    props: {
      onPointerDown: (event) => {
        if (event.button === 0) {
          // A finger that drifts a little must not break the hold.
          event.currentTarget.setPointerCapture?.(event.pointerId);
          start();
        }
      },
      onPointerUp: stop,
      onPointerCancel: stop,
      onContextMenu: (event) => event.preventDefault(),
      onKeyDown: (event) => {
        if (isPress(event)) {
          event.preventDefault();
          if (!event.repeat) start();
        }
      },
      onKeyUp: (event) => isPress(event) && stop(),
      onBlur: stop,
    },
  };
}
