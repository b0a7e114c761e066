import type { Problem } from './types';

/** Where the contract in admin/api/openapi.yaml is served. */
export const API_ROOT = '/api/v1';

/** A request that did not succeed. Status 0 means that no answer came at all. */
export class ApiError extends Error {
  readonly status: number;
  readonly detail: string | undefined;
  readonly requestId: string | undefined;
  readonly violations: NonNullable<Problem['violations']>;
  readonly retryAfterSeconds: number | undefined;

  constructor(status: number, title: string, rest: Partial<Problem> & { retryAfterSeconds?: number } = {}) {
    super(title);
    this.name = 'ApiError';
    this.status = status;
    this.detail = rest.detail;
    this.requestId = rest.request_id;
    this.violations = rest.violations ?? [];
    this.retryAfterSeconds = rest.retryAfterSeconds;
  }
}

interface Hooks {
  /** The session is gone; called for every 401 except that of the login itself. */
  unauthorized(): void;
  /** The server's clock as it was when it answered, in Unix milliseconds. */
  serverTime(at: number): void;
}

const hooks: Hooks = { unauthorized() {}, serverTime() {} };

/** Registers what the application does about a lost session and the server's clock. */
export function setHooks(h: Partial<Hooks>): void {
  Object.assign(hooks, h);
}

export interface RequestOptions {
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
  /** A 401 is an answer of its own here (wrong password), not a lost session. */
  expects401?: boolean;
}

/** Makes one call; T is what the contract promises for it. Throws ApiError, or AbortError when aborted. */
export async function request<T>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
  const headers: Record<string, string> = { Accept: 'application/json', ...options.headers };
  const init: RequestInit = { method, headers, credentials: 'same-origin' };
  if (options.signal) init.signal = options.signal;
  if (options.body !== undefined) {
    headers['Content-Type'] = 'application/json';
    init.body = JSON.stringify(options.body);
  }
  let response: Response;
  try {
    response = await fetch(API_ROOT + path, init);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiError(0, 'no answer');
  }
  noteServerTime(response);
  if (response.ok) {
    return (response.status === 204 ? undefined : await response.json()) as T;
  }
  const problem = await toApiError(response);
  if (response.status === 401 && !options.expects401) hooks.unauthorized();
  throw problem;
}

/** Tells the application's clock what the server's says. */
export function noteServerTime(response: Response): void {
  const date = Date.parse(response.headers.get('Date') ?? '');
  if (!Number.isNaN(date)) hooks.serverTime(date);
}

/** Reports a session lost outside of request(), by the event stream. */
export function reportUnauthorized(): void {
  hooks.unauthorized();
}

async function toApiError(response: Response): Promise<ApiError> {
  let problem: Partial<Problem> = {};
  if (response.headers.get('Content-Type')?.includes('json')) {
    problem = await response.json().catch(() => ({}));
  }
  const retryAfter = Number.parseInt(response.headers.get('Retry-After') ?? '', 10);
  return new ApiError(response.status, problem.title ?? `HTTP ${response.status}`, {
    ...problem,
    ...(Number.isNaN(retryAfter) ? {} : { retryAfterSeconds: retryAfter }),
  });
}

/** Builds a query string; absent and empty values are left out. */
export function query(values: Record<string, string | number | boolean | undefined>): string {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) {
    if (value !== undefined && value !== '') params.set(key, String(value));
  }
  const text = params.toString();
  return text ? `?${text}` : '';
}
