import { expect, it } from 'vitest';
import type { Alert, BacktestAnswer } from '$lib/api/types';
import { at } from '$lib/testkit';
import { perKiosk } from './backtest';

it('counts by kiosk, most often first', () => {
  const fired = [['B', 1], ['A', 2], ['C', 3], ['C', 4]] as const;
  const alerts = fired.map(([serial, s]) => ({ serial, opened_at: at(s) }) as Alert);
  expect(perKiosk({ alerts } as BacktestAnswer)).toEqual([
    { serial: 'C', times: 2, first: at(3) }, { serial: 'A', times: 1, first: at(2) }, { serial: 'B', times: 1, first: at(1) },
  ]);
});
