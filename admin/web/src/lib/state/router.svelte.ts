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

/** The address bar as state. Three pages need no routing library. */
class Router {
  path = $state(location.pathname);
  search = $state(location.search);
  route = $derived(match(this.path));
  params = $derived(new URLSearchParams(this.search));

  constructor() {
    addEventListener('popstate', () => this.#read());
    document.addEventListener('click', (event) => this.#follow(event));
  }

  go(to: string, options: { replace?: boolean } = {}): void {
    if (to === location.pathname + location.search) return;
    history[options.replace ? 'replaceState' : 'pushState'](null, '', to);
    this.#read();
  }

  /** Changes parts of the query in place, without a new entry in the history; undefined removes a part. */
  setParams(changes: Record<string, string | undefined>): void {
    const params = new URLSearchParams(location.search);
    for (const [key, value] of Object.entries(changes)) {
      if (value) params.set(key, value);
      else params.delete(key);
    }
    const text = params.toString();
    this.go(location.pathname + (text ? `?${text}` : ''), { replace: true });
  }

  #read(): void {
    this.path = location.pathname;
    this.search = location.search;
  }

  /** Follows plain clicks on our own links without loading the page anew. */
  #follow(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element | null)?.closest('a[href]');
    if (!(link instanceof HTMLAnchorElement) || link.target || link.origin !== location.origin) return;
    event.preventDefault();
    this.go(link.pathname + link.search);
  }
}

export const router = new Router();
