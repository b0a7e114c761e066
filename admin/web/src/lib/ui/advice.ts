import type { ApiError } from '$lib/api/client';
import type { Messages } from '$lib/i18n/catalogue';

/** What an error means to an operator, and what to do about it; the latter is empty where the former says it. */
export function advice(error: ApiError, t: Messages): { what: string; todo: string } {
  if (error.status === 0) return { what: t.error.unreachable, todo: t.error.unreachableHint };
  if (error.status === 403) return { what: t.error.forbidden, todo: t.error.forbiddenHint };
  if (error.status === 503) return { what: t.error.unavailable, todo: t.error.unavailableHint };
  // The server's own words are the most exact that there are, though only in English.
  return { what: error.detail ?? error.message, todo: error.status >= 500 ? t.error.otherHint : '' };
}
