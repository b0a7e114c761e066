import type { Action } from 'svelte/action';

/** Where each address was scrolled to, as long as the page lives. */
const positions = new Map<string, number>();

/**
 * Keeps where an element is scrolled to, by address: whoever comes back to a list finds the place
 * that was left, and another address starts at the top.
 */
export const keepScroll: Action<HTMLElement, string> = (node, first) => {
  let key = first;

  /** After a frame, because the rows that give the element its height are drawn first. */
  function restore() {
    const top = positions.get(key) ?? 0;
    requestAnimationFrame(() => node.scrollTo({ top, behavior: 'instant' }));
  }

  const onscroll = () => positions.set(key, node.scrollTop);
  node.addEventListener('scroll', onscroll, { passive: true });
  restore();

  return {
    update(next) {
      if (next === key) return;
      key = next;
      restore();
    },
    destroy: () => node.removeEventListener('scroll', onscroll),
  };
};
