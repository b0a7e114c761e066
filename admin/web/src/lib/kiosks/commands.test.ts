import { describe, expect, it } from 'vitest';
import { at, command, kiosk } from '$lib/testkit';
import { isMoving, ladder, maySend, mergeCommand, reportedState } from './commands';

const states = (c: Parameters<typeof ladder>[0]) => ladder(c).map((rung) => `${rung.status} ${rung.state}`);

describe('maySend', () => {
  it.each([
    [undefined, 'ping', false], ['viewer', 'ping', false], ['technician', 'ping', true], ['technician', 'maintenance', true],
    ['technician', 'block', false], ['operator', 'block', true], ['admin', 'update', true],
  ] as const)('%s %s: %s', (role, name, expected) => {
    expect(maySend(role, name)).toBe(expected);
  });
});

describe('ladder', () => {
  it('shows where a moving command stands and what lies ahead', () => {
    expect(states(command('1', ['queued', 'sent', 'received']))).toEqual([
      'queued reached', 'sent reached', 'received current', 'running ahead', 'succeeded ahead', 'verified ahead',
    ]);
  });

  it('waits at success for the proof', () => {
    expect(states(command('1', ['queued', 'sent', 'received', 'running', 'succeeded'])).slice(4)).toEqual([
      'succeeded current', 'verified ahead',
    ]);
  });

  it('ends a ping with its success', () => {
    const ping = command('1', ['queued', 'sent', 'received', 'succeeded'], { name: 'ping' });
    expect(states(ping).slice(3)).toEqual(['running skipped', 'succeeded reached']);
    expect(isMoving(ping)).toBe(false);
  });

  it.each(['failed', 'rejected', 'expired'] as const)('lets nothing follow %s', (status) => {
    expect(states(command('1', ['queued', 'sent', status]))).toEqual([
      'queued reached', 'sent reached', 'received skipped', 'running skipped', `${status} failed`,
    ]);
  });

  it('tells a success without proof as a failure of the last rung', () => {
    expect(states(command('1', ['queued', 'sent', 'received', 'running', 'succeeded', 'unverified'])).slice(4)).toEqual([
      'succeeded reached', 'unverified failed',
    ]);
  });

  it('believes a late proof after an expiry', () => {
    expect(states(command('1', ['queued', 'expired', 'succeeded', 'verified']))).toEqual([
      'queued reached', 'sent skipped', 'received skipped', 'running skipped', 'succeeded reached', 'verified reached',
    ]);
  });
});

describe('mergeCommand', () => {
  it('keeps the newest first and replaces by id', () => {
    const old = command('old', ['queued'], { created_at: at(0) });
    const fresh = command('new', ['queued'], { created_at: at(9) });
    const list = mergeCommand(mergeCommand([], fresh), old);
    expect(list.map((c) => c.id)).toEqual(['new', 'old']);
    expect(mergeCommand(list, command('old', ['queued', 'sent']))[1]?.status).toBe('sent');
  });

  it('takes no rung away for an answer that was overtaken', () => {
    const list = [command('1', ['queued', 'sent', 'received'])];
    expect(mergeCommand(list, command('1', ['queued']))).toBe(list);
  });
});

describe('reportedState', () => {
  it('looks behind the platform’s own words', () => {
    expect(reportedState(kiosk('k', { status: 'blocked' }))).toBe('blocked');
    expect(reportedState(kiosk('k', { status: 'offline', last_reading: { timestamp: at(0), status: 'blocked' } }))).toBe('blocked');
    expect(reportedState(kiosk('k', { status: 'unknown' }))).toBe('unknown');
  });
});
