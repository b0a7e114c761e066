import { describe, expect, it } from 'vitest';
import { fromLocalInput, localInput, parseLength } from './when';

it('goes to a field and back, to the minute', () => {
  const at = Date.UTC(2026, 0, 2, 12, 34, 0);
  expect(fromLocalInput(localInput(at))).toBe(new Date(at).toISOString());
  expect(fromLocalInput('')).toBeUndefined();
});

describe('parseLength', () => {
  it.each([['5m', 300_000], ['1h30m', 5_400_000], ['30s', 30_000], ['7d', 604_800_000], ['1.5h', 5_400_000], ['500ms', 500]])('%s', (text, ms) => {
    expect(parseLength(text)).toBe(ms);
  });
  it.each(['', '5', 'm', '5 m', '5x', '-5m'])('takes no %j', (text) => {
    expect(parseLength(text)).toBeUndefined();
  });
});
