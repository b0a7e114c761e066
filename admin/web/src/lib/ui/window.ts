/** The rows of a long list that are worth drawing, from first up to but without last. */
export interface RowRange {
  first: number;
  last: number;
}

/** Rows drawn beyond the edges, so that scrolling does not show blanks. */
const OVERSCAN = 10;

/** top is where the first row begins against the top of the window, in pixels; negative when scrolled. */
export function visibleRows(top: number, windowHeight: number, rowHeight: number, count: number): RowRange {
  const first = Math.floor(-top / rowHeight) - OVERSCAN;
  const last = Math.ceil((windowHeight - top) / rowHeight) + OVERSCAN;
  return { first: Math.min(Math.max(0, first), count), last: Math.min(Math.max(0, last), count) };
}
