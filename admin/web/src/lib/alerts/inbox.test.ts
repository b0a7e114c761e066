import { describe, expect, it } from 'vitest';
import type { Alert, Incident } from '$lib/api/types';
import { at } from '$lib/testkit';
import { alertQuery, type Entry, inboxParams, lines, matches, newer, nextLists, parseInbox } from './inbox';

const alert = (id: string, opened: number, fields: Partial<Alert> = {}): Entry => ({
  kind: 'alerts',
  item: {
    id, rule: 'offline', rule_version: 1, serial: 'K', site: 'Hall 1', model: '', tags: [], severity: 'warning', labels: {}, state: 'open',
    reason: 'Offline', no_data: false, flapping: false, since: at(opened), opened_at: at(opened), values: [], about_presence: true,
    security: false, updated_at: at(opened), ...fields,
  },
});
const incident = (id: string, opened: number, fields: Partial<Incident> = {}): Entry => ({
  kind: 'incidents',
  item: {
    id, kind: 'site', key: 'Hall 1', site: 'Hall 1', rule: 'offline', severity: 'critical', state: 'open', title: '30 of 30', kiosks: 30,
    of_kiosks: 30, open: 30, opened_at: at(opened), updated_at: at(opened), ...fields,
  },
});

const open = parseInbox(new URLSearchParams());
const all = parseInbox(new URLSearchParams('state=all'));
const ids = (entries: Entry[]) => entries.map((entry) => entry.item.id);

describe('the view in the address', () => {
  it.each(['', 'state=all', 'severity=critical,info', 'site=Hall 1', 'assignee=ana', 'ack=no', 'ack=yes', 'suppressed=yes'])('comes back from %j', (text) => {
    const params = new URLSearchParams(text);
    const written = new URLSearchParams();
    for (const [key, value] of Object.entries(inboxParams(parseInbox(params)))) if (value) written.set(key, value);
    expect(written.toString()).toBe(params.toString());
  });

  it('leaves out what is not a severity', () => {
    expect(parseInbox(new URLSearchParams('severity=bad,warning')).severities).toEqual(['warning']);
  });

  it('asks for those of which somebody is told while they are open', () => {
    expect(alertQuery(open)).toMatchObject({ alone: true, state: 'open', suppressed: false, sort: 'severity' });
    expect(alertQuery(all)).toMatchObject({ alone: true, state: undefined, suppressed: undefined, sort: 'newest' });
    expect(alertQuery(parseInbox(new URLSearchParams('suppressed=yes')))).toMatchObject({ state: 'open', suppressed: true });
  });
});

describe('matches', () => {
  const view = (text: string) => parseInbox(new URLSearchParams(text));
  it.each<[string, Entry, string, boolean]>([
    ['an open alert', alert('a', 0), '', true],
    ['one inside an incident', alert('a', 0, { incident_id: 'i' }), '', false],
    ['one that is over', alert('a', 0, { state: 'resolved' }), '', false],
    ['one that is over, among all', alert('a', 0, { state: 'resolved' }), 'state=all', true],
    ['another severity', alert('a', 0), 'severity=critical', false],
    ['another site', alert('a', 0), 'site=Hall 2', false],
    ['nobody’s, when mine are asked for', alert('a', 0), 'assignee=ana', false],
    ['mine', incident('i', 0, { assignee: 'ana' }), 'assignee=ana', true],
    ['acknowledged, when the others are asked for', alert('a', 0, { acknowledged_at: at(1) }), 'ack=no', false],
    ['suppressed', alert('a', 0, { suppressed: 'offline' }), '', false],
    ['suppressed, asked for', alert('a', 0, { suppressed: 'offline' }), 'suppressed=yes', true],
    ['suppressed, among all', alert('a', 0, { suppressed: 'offline' }), 'state=all', true],
  ])('%s', (_name, entry, text, want) => {
    expect(matches(entry, view(text))).toBe(want);
  });
});

describe('lines', () => {
  const entries = [alert('w1', 10), alert('c1', 5, { severity: 'critical' }), incident('i1', 4), alert('w2', 20)];

  it('has the worst first, many kiosks before one, then the newest', () => {
    expect(ids(lines(entries, open, { alerts: undefined, incidents: undefined }))).toEqual(['i1', 'c1', 'w2', 'w1']);
  });

  it('has the newest first among all', () => {
    expect(ids(lines(entries, all, { alerts: undefined, incidents: undefined }))).toEqual(['w2', 'w1', 'c1', 'i1']);
  });

  it('ends where a list ends that goes on', () => {
    const reach = { alerts: entries[0], incidents: undefined };
    expect(ids(lines([...entries, incident('i0', 1)], all, reach))).toEqual(['w2', 'w1']);
    expect(nextLists(all, reach)).toEqual(['alerts']);
  });

  it('reads on in the list that ends first', () => {
    expect(nextLists(all, { alerts: entries[0], incidents: entries[2] })).toEqual(['alerts']);
    expect(nextLists(all, { alerts: entries[1], incidents: incident('i2', 6) })).toEqual(['incidents']);
    expect(nextLists(all, { alerts: undefined, incidents: undefined })).toEqual([]);
  });
});

it('keeps the newer of two versions', () => {
  const [old, now] = [{ updated_at: at(1), n: 1 }, { updated_at: at(2), n: 2 }];
  expect(newer(old, now)).toBe(now);
  expect(newer(now, old)).toBe(now);
  expect(newer(undefined, old)).toBe(old);
});
