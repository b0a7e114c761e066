import type { Action } from 'svelte/action';

export interface GestureHandlers {
  pan(dx: number, dy: number): void;
  /** Zooms by a factor around a point of the picture, in pixels. */
  zoom(factor: number, x: number, y: number): void;
}

/** Below this many pixels a press with movement is still a click on what lies there. */
const SLOP_PX = 4;

/** Drag, wheel and pinch on a map. */
export const gestures: Action<HTMLElement, GestureHandlers> = (node, handlers) => {
  const pointers = new Map<number, { x: number; y: number }>();
  let dragging = false;
  let start = { x: 0, y: 0 };

  function onpointerdown(event: PointerEvent) {
    if (event.button !== 0) return;
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    start = { x: event.clientX, y: event.clientY };
    dragging = pointers.size > 1;
  }

  function onpointermove(event: PointerEvent) {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.clientX, y: event.clientY };
    if (!dragging && Math.hypot(now.x - start.x, now.y - start.y) < SLOP_PX) return;
    if (!dragging) {
      dragging = true;
      node.setPointerCapture(event.pointerId);
    }
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    pointers.set(event.pointerId, now);
    if (!other) {
      handlers.pan(now.x - before.x, now.y - before.y);
      return;
    }
    const box = node.getBoundingClientRect();
    const spread = (p: { x: number; y: number }) => Math.hypot(p.x - other.x, p.y - other.y);
    handlers.pan((now.x - before.x) / 2, (now.y - before.y) / 2);
    handlers.zoom(spread(now) / Math.max(1, spread(before)), (now.x + other.x) / 2 - box.left, (now.y + other.y) / 2 - box.top);
  }

  function onpointerend(event: PointerEvent) {
    pointers.delete(event.pointerId);
  }

  /** The end of a drag is not a click on the kiosk that happens to be there. */
  function onclick(event: MouseEvent) {
    if (!dragging) return;
    dragging = false;
    event.preventDefault();
    event.stopPropagation();
  }

  function onwheel(event: WheelEvent) {
    event.preventDefault();
    const box = node.getBoundingClientRect();
    handlers.zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
  }

  node.addEventListener('pointerdown', onpointerdown);
  node.addEventListener('pointermove', onpointermove);
  node.addEventListener('pointerup', onpointerend);
  node.addEventListener('pointercancel', onpointerend);
  node.addEventListener('click', onclick, { capture: true });
  node.addEventListener('wheel', onwheel, { passive: false });

  return {
    update(next) {
      handlers = next;
    },
    destroy() {
      node.removeEventListener('pointerdown', onpointerdown);
      node.removeEventListener('pointermove', onpointermove);
      node.removeEventListener('pointerup', onpointerend);
      node.removeEventListener('pointercancel', onpointerend);
      node.removeEventListener('click', onclick, { capture: true });
      node.removeEventListener('wheel', onwheel);
    },
  };
};
