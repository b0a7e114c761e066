import { describe, expect, it } from 'vitest';
import { kiosk } from '$lib/testkit';
import { formatColumns, parseColumns } from './columns';
import { WORST_FIRST } from './order';
import { formatSort, matches, parseView, sitesOf } from './view';

describe('parseView', () => {
  it('shows everything, worst first, without parameters', () => {
    expect(parseView(new URLSearchParams())).toEqual({ verdict: undefined, site: undefined, query: '', sort: WORST_FIRST });
  });

  it('takes what the address bar holds', () => {
    const view = parseView(new URLSearchParams('verdict=degraded&site=&q=abc&sort=-network.latency'));
    expect(view).toEqual({ verdict: 'degraded', site: '', query: 'abc', sort: { by: 'network.latency', descending: true } });
  });

  it('ignores a verdict that does not exist', () => {
    expect(parseView(new URLSearchParams('verdict=great')).verdict).toBeUndefined();
  });
});

describe('formatSort', () => {
  it('leaves the usual order out and writes the others as they are read', () => {
    expect(formatSort(WORST_FIRST)).toBeUndefined();
    expect(formatSort({ by: 'severity', descending: true })).toBe('-severity');
    expect(formatSort({ by: 'site', descending: false })).toBe('site');
  });
});

describe('matches', () => {
  const k = kiosk('SIM-KIOSK-007', { site: 'Ezeiza T1', model: 'K200', tags: ['airport'] });

  it.each([
    ['', true], ['kiosk-007', true], ['EZEIZA', true], ['k200 airport', true], ['007 rail', false], ['008', false],
  ])('query %j: %s', (query, expected) => {
    expect(matches(k, { site: undefined, query })).toBe(expected);
  });

  it('compares the site exactly, the empty one too', () => {
    expect(matches(k, { site: 'Ezeiza T1', query: '' })).toBe(true);
    expect(matches(k, { site: 'Ezeiza', query: '' })).toBe(false);
    expect(matches(kiosk('x'), { site: '', query: '' })).toBe(true);
  });
});

describe('sitesOf', () => {
  it('counts by site, in order', () => {
    expect(sitesOf([kiosk('1', { site: 'b' }), kiosk('2', { site: 'a' }), kiosk('3', { site: 'b' })])).toEqual([
      { name: 'a', kiosks: 1 }, { name: 'b', kiosks: 2 },
    ]);
  });
});

describe('columns', () => {
  const ids = (text: string | null) => parseColumns(text).map((column) => column.id);

  it('are the usual ones for nothing and for nonsense', () => {
    expect(ids(null)).toEqual(ids('nonsense'));
    expect(formatColumns(parseColumns(null))).toBeUndefined();
  });

  it('keep those without which a row says nothing', () => {
    expect(ids('model')).toEqual(['verdict', 'serial', 'reason', 'model']);
  });

  it('come back as they were written', () => {
    expect(ids(formatColumns(parseColumns('site,model')) ?? null)).toEqual(ids('site,model'));
  });
});
