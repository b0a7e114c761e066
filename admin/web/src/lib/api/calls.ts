import { query, request } from './client';
import type {
  Aggregate, Command, CommandList, CommandRequest, DeadLetterList, DeadLetterWithPayload, EventList, Intake, Kiosk,
  KioskList, Me, Metric, Query, QueryAnswer, Replayed, TelemetrySeries,
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

/** Asks for several series at once. */
export const postQuery = (body: Query, signal?: AbortSignal) => request<QueryAnswer>('POST', '/query', { body, signal });

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

export const getIntake = (signal?: AbortSignal) => request<Intake>('GET', '/ingest', { signal });

/** Picks dead letters; absent parts pick all. */
export interface LetterFilter {
  serial?: string | undefined;
  reason?: string | undefined;
}

const letterPath = (id: string) => `/dead-letters/${encodeURIComponent(id)}`;

export const listLetters = (filter: LetterFilter, limit: number, cursor?: string, signal?: AbortSignal) =>
  request<DeadLetterList>('GET', `/dead-letters${query({ ...filter, limit, cursor })}`, { signal });

export const getLetter = (id: string, signal?: AbortSignal) =>
  request<DeadLetterWithPayload>('GET', letterPath(id), { signal });

export const replayLetter = (id: string) => request<Replayed>('POST', `${letterPath(id)}/replay`);

export const discardLetter = (id: string) => request<void>('DELETE', letterPath(id));

/** The filter of a call that acts on many, up to the newest letter that somebody has seen. */
const many = (filter: LetterFilter, through: string) =>
  ({ ...filter, all: filter.serial || filter.reason ? undefined : 'true', through });

/** Replays a share of the filter; call again with next_cursor while there is one. */
export const replayLetters = (filter: LetterFilter, through: string, cursor?: string) =>
  request<Replayed>('POST', `/dead-letters/replay${query({ ...many(filter, through), cursor })}`);

/** Discards a share of the filter; call again until nothing was discarded. */
export const discardLetters = (filter: LetterFilter, through: string) =>
  request<{ discarded: number }>('DELETE', `/dead-letters${query(many(filter, through))}`);
