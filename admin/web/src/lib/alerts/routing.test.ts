import { describe, expect, it } from 'vitest';
import { en } from '$lib/i18n/en';
import { moved, parseRoutes, routeHow, routeTakes, scheduleLine } from './routing';

describe('scheduleLine', () => {
  it.each([
    [{ days: ['mon' as const, 'tue' as const], from: '08:00', to: '20:00' }, 'Mon, Tue 08:00–20:00'],
    [{ from: '20:00' }, '20:00–24:00'], [{ days: ['sun' as const] }, 'Sun'], [{}, ''],
  ])('%j', (schedule, want) => {
    expect(scheduleLine(schedule, en.rules.days)).toBe(want);
  });
});

it('says what a route takes and how it tells', () => {
  const route = {
    name: 'x', severities: ['critical' as const], sites: ['Hall *'], matchers: [{ name: 'team', op: '=' as const, value: 'field' }], targets: ['mail'],
    group_by: ['site'], repeat_interval: '4h', resolved: true, escalations: [{ after: '15m', targets: ['boss'] }], continue: true,
  };
  expect(routeTakes(route, en)).toEqual(['Critical', 'Hall *', 'team = field']);
  expect(routeHow(route, en)).toEqual(['together by site', 'again every 4h', 'the end, too', 'after 15m unacknowledged also boss', 'and goes on']);
  expect(routeTakes({ name: 'x', resolved: false, continue: false }, en)).toEqual([]);
});

describe('parseRoutes', () => {
  it('takes a list', () => {
    expect(parseRoutes('[{"name":"a","targets":["mail"]}]')).toEqual({ routes: [{ name: 'a', targets: ['mail'] }] });
  });
  it.each(['[', '{}', '[1]', '[null]', '[{"targets":[]}]'])('refuses %s', (text) => {
    expect(parseRoutes(text)).toHaveProperty('fault');
  });
});

it('moves an entry', () => {
  expect(moved(['a', 'b', 'c'], 2, -1)).toEqual(['a', 'c', 'b']);
  expect(moved(['a', 'b', 'c'], 0, 1)).toEqual(['b', 'a', 'c']);
  expect(moved(['a', 'b'], 0, -1)).toEqual(['a', 'b']);
  expect(moved(['a', 'b'], 1, 1)).toEqual(['a', 'b']);
});
