/** What a path shows. */
export type Route =
  | { name: 'login' }
  | { name: 'fleet' }
  | { name: 'kiosk'; serial: string }
  | { name: 'missing' };

export function match(path: string): Route {
  if (path === '/') return { name: 'fleet' };
  if (path === '/login') return { name: 'login' };
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

/** The login page that returns to a path afterwards. */
export const loginHref = (from: string) => (from === '/' ? '/login' : `/login?next=${encodeURIComponent(from)}`);

/** Where to go after the login. Only paths of this page: a crafted link must not lead elsewhere. */
export function returnPath(next: string | null): string {
  return next && /^\/(?![/\\])/.test(next) && !next.startsWith('/login') ? next : '/';
}
