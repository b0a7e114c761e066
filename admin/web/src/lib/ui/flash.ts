import type { Action } from 'svelte/action';

const reducedMotion = matchMedia('(prefers-reduced-motion: reduce)');

/** Lights a changed value up for a moment, unless the person asked for less motion. */
export const flash: Action<HTMLElement, string> = (node, first) => {
  let shown = first;
  return {
    update(text) {
      if (text === shown) return;
      shown = text;
      if (!reducedMotion.matches) node.animate([{ color: 'var(--accent-strong)' }, {}], 300);
    },
  };
};
