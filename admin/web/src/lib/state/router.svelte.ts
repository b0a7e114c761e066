import { match } from './routes';

/** The address bar as state. A few pages need no routing library. */
class Router {
  path = $state(location.pathname);
  search = $state(location.search);
  route = $derived(match(this.path));
  /** The fleet as it was last looked at, with its filters. */
  fleetHref = $state('/');
  params = $derived(new URLSearchParams(this.search));

  constructor() {
    this.#keepFleet();
    addEventListener('popstate', () => this.#read());
    document.addEventListener('click', (event) => this.#follow(event));
  }

  go(to: string, options: { replace?: boolean } = {}): void {
    if (to === location.pathname + location.search) return;
    history[options.replace ? 'replaceState' : 'pushState'](null, '', to);
    this.#read();
  }

  /**
   * Changes parts of the query; undefined removes a part. In place, or with push as a new entry in the
   * history, so that the browser's Back undoes it.
   */
  setParams(changes: Record<string, string | undefined>, options: { push?: boolean } = {}): void {
    const params = new URLSearchParams(location.search);
    for (const [key, value] of Object.entries(changes)) {
      if (value === undefined) params.delete(key);
      else params.set(key, value);
    }
    // Commas, colons and tildes may stand in a query as they are, and read better there.
    const text = params.toString().replace(/%(2C|3A|7E)/g, decodeURIComponent);
    this.go(location.pathname + (text ? `?${text}` : ''), { replace: !options.push });
  }

  #read(): void {
    this.path = location.pathname;
    this.search = location.search;
    this.#keepFleet();
  }

  #keepFleet(): void {
    if (this.path === '/') this.fleetHref = this.path + this.search;
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
