import { describe, expect, it } from 'vitest';
import { visibleRows } from './window';

describe('visibleRows', () => {
  it('draws the rows in the window and a few beyond', () => {
    expect(visibleRows(-4_000, 800, 40, 1_000)).toEqual({ first: 90, last: 130 });
  });

  it('stays within the list', () => {
    expect(visibleRows(100, 800, 40, 5)).toEqual({ first: 0, last: 5 });
    expect(visibleRows(-90_000, 800, 40, 100)).toEqual({ first: 100, last: 100 });
    expect(visibleRows(5_000, 800, 40, 100)).toEqual({ first: 0, last: 0 });
  });
});
