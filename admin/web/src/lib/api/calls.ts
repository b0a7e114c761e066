import { query, request } from './client';
import type {
  Aggregate, Command, CommandList, CommandRequest, EventList, Kiosk, KioskList, Me, Metric, TelemetrySeries,
} from './types';

// One function for each call of the contract that the page makes.

const kioskPath = (serial: string) => `/kiosks/${encodeURIComponent(serial)}`;

export const login = (username: string, password: string) =>
  request<Me>('POST', '/session', { body: { username, password }, expects401: true });

export const logout = () => request<void>('DELETE', '/session');

export const me = () => request<Me>('GET', '/me', { expects401: true });

export const listKiosks = (cursor: string | undefined, signal?: AbortSignal) =>
  request<KioskList>('GET', `/kiosks${query({ limit: 1000, cursor })}`, { signal });

export const getKiosk = (serial: string, signal?: AbortSignal) =>
  request<Kiosk>('GET', kioskPath(serial), { signal });

export const listMetrics = () => request<{ items: Metric[] }>('GET', '/metrics');

export interface TelemetryQuery {
  metric: string;
  from: string;
  to?: string;
  /** Such as 1m; without it the raw points come. */
  step?: string | undefined;
  agg?: Aggregate;
}

export const getTelemetry = (serial: string, q: TelemetryQuery, signal?: AbortSignal) =>
  request<TelemetrySeries>('GET', `${kioskPath(serial)}/telemetry${query({ ...q })}`, { signal });

export const listCommands = (serial: string, limit: number, signal?: AbortSignal) =>
  request<CommandList>('GET', `${kioskPath(serial)}/commands${query({ limit })}`, { signal });

export const listEvents = (serial: string, limit: number, cursor?: string, signal?: AbortSignal) =>
  request<EventList>('GET', `${kioskPath(serial)}/events${query({ limit, cursor })}`, { signal });

/** Sends a command. The key makes a repeated attempt answer with the command made first. */
export const sendCommand = (serial: string, command: CommandRequest, idempotencyKey: string) =>
  request<Command>('POST', `${kioskPath(serial)}/commands`, {
    body: command,
    headers: { 'Idempotency-Key': idempotencyKey },
  });
