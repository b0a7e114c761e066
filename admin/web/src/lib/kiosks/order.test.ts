import { describe, expect, it } from 'vitest';
import { at, kiosk } from '$lib/testkit';
import { sortKiosks, WORST_FIRST } from './order';

const serials = (kiosks: { serial: string }[]) => kiosks.map((k) => k.serial);

describe('sortKiosks', () => {
  it('puts the worst first', () => {
    const kiosks = [
      kiosk('a', { verdict: 'can_serve' }), kiosk('b', { verdict: 'unknown' }),
      kiosk('c', { verdict: 'degraded' }), kiosk('d', { verdict: 'cannot_serve' }),
    ];
    expect(serials(sortKiosks(kiosks, WORST_FIRST))).toEqual(['d', 'c', 'b', 'a']);
  });

  it('puts the one that waits longest first among equals, then goes by serial', () => {
    const kiosks = [
      kiosk('late', { verdict: 'degraded', verdict_since: at(90) }),
      kiosk('b', { verdict: 'degraded', verdict_since: at(10) }),
      kiosk('a', { verdict: 'degraded', verdict_since: at(10) }),
    ];
    expect(serials(sortKiosks(kiosks, WORST_FIRST))).toEqual(['a', 'b', 'late']);
  });

  it('does not change the list it is given', () => {
    const kiosks = [kiosk('b'), kiosk('a')];
    sortKiosks(kiosks, { by: 'serial', descending: false });
    expect(serials(kiosks)).toEqual(['b', 'a']);
  });

  it.each([
    [false, ['cool', 'hot', 'none']],
    [true, ['hot', 'cool', 'none']],
  ])('sorts by a metric, descending %s, those without it last', (descending, expected) => {
    const withTemp = (serial: string, cpu_temp: number) => kiosk(serial, { last_reading: { timestamp: at(0), hardware: { cpu_temp } } });
    const kiosks = [kiosk('none'), withTemp('hot', 80), withTemp('cool', 40)];
    expect(serials(sortKiosks(kiosks, { by: 'hardware.cpu_temp', descending }))).toEqual(expected);
  });

  it('puts the freshest reading first and the missing last', () => {
    const read = (serial: string, s: number) => kiosk(serial, { last_reading: { timestamp: at(s) } });
    const kiosks = [kiosk('never'), read('old', 1), read('new', 9)];
    expect(serials(sortKiosks(kiosks, { by: 'reading', descending: false }))).toEqual(['new', 'old', 'never']);
  });
});
