/** What a path shows. */
export type Route =
  | { name: 'login' }
  | { name: 'fleet' }
  | { name: 'kiosk'; serial: string }
  | { name: 'letters' }
  | { name: 'alerts' }
  | { name: 'alert'; id: string }
  | { name: 'incident'; id: string }
  | { name: 'rules' }
  | { name: 'rule'; rule: string }
  | { name: 'newRule' }
  | { name: 'silences' }
  | { name: 'notifications' }
  | { name: 'availability' }
  | { name: 'visits' }
  | { name: 'anomalies' }
  | { name: 'anomaly'; id: string }
  | { name: 'models' }
  | { name: 'missing' };

/** Pages whose path is one word. A rule may be called new, so the page that makes one is not below /rules. */
const PLAIN: Record<string, Route> = {
  '/': { name: 'fleet' },
  '/login': { name: 'login' },
  '/dead-letters': { name: 'letters' },
  '/alerts': { name: 'alerts' },
  '/rules': { name: 'rules' },
  '/new-rule': { name: 'newRule' },
  '/silences': { name: 'silences' },
  '/notifications': { name: 'notifications' },
  '/availability': { name: 'availability' },
  '/visits': { name: 'visits' },
  '/anomalies': { name: 'anomalies' },
  '/models': { name: 'models' },
};

/** Pages of one thing, by the folder of their path. */
const SINGLE: Record<string, (id: string) => Route> = {
  kiosks: (serial) => ({ name: 'kiosk', serial }),
  alerts: (id) => ({ name: 'alert', id }),
  incidents: (id) => ({ name: 'incident', id }),
  rules: (rule) => ({ name: 'rule', rule }),
  anomalies: (id) => ({ name: 'anomaly', id }),
};

export function match(path: string): Route {
  const plain = Object.hasOwn(PLAIN, path) ? PLAIN[path] : undefined;
  if (plain) return plain;
  const [, folder = '', id = ''] = /^\/([a-z]+)\/([^/]+)\/?$/.exec(path) ?? [];
  const single = Object.hasOwn(SINGLE, folder) ? SINGLE[folder] : undefined;
  if (single) {
    try {
      return single(decodeURIComponent(id));
    } catch {
      // Not a valid escape; nothing has such a path.
    }
  }
  return { name: 'missing' };
}

export const kioskHref = (serial: string) => `/kiosks/${encodeURIComponent(serial)}`;

export const alertHref = (id: string) => `/alerts/${encodeURIComponent(id)}`;
export const incidentHref = (id: string) => `/incidents/${encodeURIComponent(id)}`;
export const anomalyHref = (id: string) => `/anomalies/${encodeURIComponent(id)}`;
export const ruleHref = (name: string) => `/rules/${encodeURIComponent(name)}`;

/** The page that makes a rule, beginning with a copy of another one. */
export const newRuleHref = (from?: string) => (from ? `/new-rule?from=${encodeURIComponent(from)}` : '/new-rule');

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
