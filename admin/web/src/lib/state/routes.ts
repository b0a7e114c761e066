/** What a path shows. */
export type Route =
  | { name: 'login' }
  | { name: 'fleet' }
  | { name: 'kiosk'; serial: string }
  | { name: 'letters' }
  | { name: 'missing' };

export function match(path: string): Route {
  if (path === '/') return { name: 'fleet' };
  if (path === '/login') return { name: 'login' };
  if (path === '/dead-letters') return { name: 'letters' };
  const serial = /^\/kiosks\/([^/]+)\/?$/.exec(path)?.[1];
  if (serial) {
    try {
      return { name: 'kiosk', serial: decodeURIComponent(serial) };
    } catch {
      // Not a valid escape; nothing has such a path.
    }
  }
  return { name: 'missing' };
}

export const kioskHref = (serial: string) => `/kiosks/${encodeURIComponent(serial)}`;

/** The dead letters of a kiosk, or of one reason of it. */
export function lettersHref(serial?: string, reason?: string): string {
  const params = new URLSearchParams();
  if (serial) params.set('serial', serial);
  if (reason) params.set('reason', reason);
  return `/dead-letters${params.size > 0 ? `?${params}` : ''}`;
}

/** The login page that returns to a path afterwards. */
export const loginHref = (from: string) => (from === '/' ? '/login' : `/login?next=${encodeURIComponent(from)}`);

/** Where to go after the login. Only paths of this page: a crafted link must not lead elsewhere. */
export function returnPath(next: string | null): string {
  return next && /^\/(?![/\\])/.test(next) && !next.startsWith('/login') ? next : '/';
}
