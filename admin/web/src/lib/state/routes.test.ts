import { describe, expect, it } from 'vitest';
import { kioskHref, lettersHref, loginHref, match, returnPath } from './routes';

describe('match', () => {
  it.each([
    ['/', { name: 'fleet' }], ['/login', { name: 'login' }], ['/kiosks/SIM-1', { name: 'kiosk', serial: 'SIM-1' }],
    ['/kiosks/a%2Fb', { name: 'kiosk', serial: 'a/b' }], ['/kiosks/%zz', { name: 'missing' }],
    ['/dead-letters', { name: 'letters' }], ['/alerts', { name: 'alerts' }], ['/alerts/a%20b', { name: 'alert', id: 'a b' }],
    ['/incidents/7', { name: 'incident', id: '7' }], ['/rules/new', { name: 'rule', rule: 'new' }], ['/new-rule', { name: 'newRule' }],
    ['/anomalies', { name: 'anomalies' }], ['/anomalies/K-1%2F1', { name: 'anomaly', id: 'K-1/1' }], ['/models', { name: 'models' }],
    ['/constructor', { name: 'missing' }], ['/constructor/x', { name: 'missing' }], ['/alerts/a/b', { name: 'missing' }], ['/kiosks/', { name: 'missing' }], ['/nothing', { name: 'missing' }],
  ])('%s', (path, route) => {
    expect(match(path)).toEqual(route);
  });

  it('comes back from the address of a kiosk', () => {
    expect(match(kioskHref('a b/c'))).toEqual({ name: 'kiosk', serial: 'a b/c' });
  });
});

it('leads to the dead letters of a kiosk', () => {
  expect(lettersHref()).toBe('/dead-letters');
  expect(lettersHref('a b', 'conflict')).toBe('/dead-letters?serial=a+b&reason=conflict');
});

describe('the way back after the login', () => {
  it('is the page that was asked for', () => {
    const href = loginHref('/kiosks/x?range=6h');
    expect(returnPath(new URL(href, 'http://x').searchParams.get('next'))).toBe('/kiosks/x?range=6h');
    expect(loginHref('/')).toBe('/login');
  });

  it.each([null, '', 'https://evil.example', '//evil.example', '/\\evil.example', 'javascript:alert(1)', '/login?next=/login'])(
    'never leads elsewhere: %j', (next) => {
      expect(returnPath(next)).toBe('/');
    },
  );
});
