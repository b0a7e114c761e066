import type { Action } from 'svelte/action';
import { GUTTER_PX, RIGHT_PX } from './plot';

export interface Gestures {
  /** Moves the time by a share of what is shown, later if positive. */
  move: (share: number) => void;
  /** Shows so many times as much (below 1: less) around a place, as a share of the width. */
  scale: (factor: number, around: number) => void;
}

/** How much a turn of the wheel by one pixel zooms. */
const WHEEL_ZOOM = 0.005;
/** A finger that moved less than this has tapped. */
const TAP_PX = 6;

/**
 * What hands do to the time of charts besides dragging a part to zoom into: one finger or the shift key moves it, two
 * fingers zoom; so do a touchpad's sideways and pinch, which comes as a wheel with the control key.
 */
export const timeGestures: Action<HTMLElement, Gestures> = (node, first) => {
  let on = first;
  const pointers = new Map<number, number>();
  /** From here a single finger is seen as moving. */
  let startX = 0;
  let moving = false;

  const plotWidth = () => Math.max(1, node.clientWidth - GUTTER_PX - RIGHT_PX);
  const shareAt = (x: number) => Math.min(1, Math.max(0, (x - node.getBoundingClientRect().left - GUTTER_PX) / plotWidth()));
  const spread = () => {
    const [a, b] = [...pointers.values()] as [number, number];
    return { distance: Math.max(20, Math.abs(a - b)), middle: (a + b) / 2 };
  };

  function down(event: PointerEvent) {
    const ours = event.pointerType === 'touch' || (event.shiftKey && event.button === 0);
    if (!ours || !(event.target as Element).closest('.u-over')) return;
    pointers.set(event.pointerId, event.clientX);
    startX = event.clientX;
    moving = event.pointerType !== 'touch';
  }

  function drag(event: PointerEvent) {
    const before = pointers.get(event.pointerId);
    if (before === undefined) return;
    if (!moving && Math.abs(event.clientX - startX) < TAP_PX) return;
    if (!moving) {
      moving = true;
      node.setPointerCapture(event.pointerId);
    }
    if (pointers.size === 2) {
      const old = spread();
      pointers.set(event.pointerId, event.clientX);
      const now = spread();
      on.scale(old.distance / now.distance, shareAt(now.middle));
      on.move((old.middle - now.middle) / plotWidth());
    } else {
      pointers.set(event.pointerId, event.clientX);
      on.move((before - event.clientX) / plotWidth());
    }
  }

  const up = (event: PointerEvent) => pointers.delete(event.pointerId);

  function wheel(event: WheelEvent) {
    if (event.ctrlKey) {
      event.preventDefault();
      on.scale(Math.exp(event.deltaY * WHEEL_ZOOM), shareAt(event.clientX));
    } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      on.move(event.deltaX / plotWidth());
    }
  }

  node.addEventListener('pointerdown', down);
  addEventListener('pointermove', drag);
  addEventListener('pointerup', up);
  addEventListener('pointercancel', up);
  // Not passive, because a page that scrolls or zooms along would undo it.
  node.addEventListener('wheel', wheel, { passive: false });

  return {
    update: (next) => (on = next),
    destroy() {
      node.removeEventListener('pointerdown', down);
      removeEventListener('pointermove', drag);
      removeEventListener('pointerup', up);
      removeEventListener('pointercancel', up);
      node.removeEventListener('wheel', wheel);
    },
  };
};
