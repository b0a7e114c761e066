import type { Command, CommandStatus, Kiosk, KioskEvent } from './api/types';

// Small makers for tests: a whole object of the contract with the fields that the case is about.

/** Noon of a day in seconds counted from there, as the API writes times. */
export const at = (seconds: number) => new Date(Date.UTC(2026, 0, 2, 12, 0, 0) + seconds * 1_000).toISOString();

export function kiosk(serial: string, fields: Partial<Kiosk> = {}): Kiosk {
  return {
    serial, kiosk_id: 1, site: '', tags: [], model: '', timezone: '', presence: 'online', presence_reason: 'reporting',
    status: 'online', verdict: 'can_serve', reasons: [], created_at: at(0), revision: 1, ...fields,
  };
}

export function command(id: string, statuses: CommandStatus[], fields: Partial<Command> = {}): Command {
  return {
    id, serial: 'K', name: 'block', status: statuses.at(-1) ?? 'queued', created_at: at(0), expires_at: at(3_600), actor: 'admin',
    steps: statuses.map((status, i) => ({ status, time: at(i) })), ...fields,
  };
}

export function event(seconds: number, from: string, to: string): KioskEvent {
  return { id: `${seconds}`, serial: 'K', time: at(seconds), kind: 'peripheral', subject: 'peripherals.printer_status', from, to };
}
