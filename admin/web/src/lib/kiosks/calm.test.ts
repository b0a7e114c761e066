import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CalmOrder } from './calm.svelte';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

describe('CalmOrder', () => {
  it('shows another view at once', () => {
    const order = new CalmOrder();
    order.follow('all', () => ['a', 'b']);
    order.follow('broken', () => ['b']);
    expect(order.serials).toEqual(['b']);
  });

  it('lets changed data wait for its pace', () => {
    const order = new CalmOrder();
    order.follow('all', () => ['a', 'b']);
    order.follow('all', () => ['b', 'a']);
    expect(order.serials).toEqual(['a', 'b']);
    vi.advanceTimersByTime(3_000);
    expect(order.serials).toEqual(['b', 'a']);
  });

  it('holds still while somebody is about to hit a row', () => {
    const order = new CalmOrder();
    order.follow('all', () => ['a', 'b']);
    vi.advanceTimersByTime(10_000);
    order.touch();
    order.follow('all', () => ['b', 'a']);
    vi.advanceTimersByTime(3_900);
    order.touch();
    vi.advanceTimersByTime(3_900);
    expect(order.serials).toEqual(['a', 'b']);
    vi.advanceTimersByTime(200);
    expect(order.serials).toEqual(['b', 'a']);
  });
});
