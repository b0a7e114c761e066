import * as calls from '$lib/api/calls';
import { ApiError, setHooks } from '$lib/api/client';
import type { Me } from '$lib/api/types';
import { router } from '$lib/state/router.svelte';
import { loginHref } from '$lib/state/routes';
import { bell } from './bell.svelte';
import { catalogue } from './catalogue.svelte';
import { fleet } from './fleet.svelte';
import { intake } from './intake.svelte';

/** Who is logged in. The live stream runs exactly while somebody is. */
class Session {
  /** Undefined while unknown or nobody. */
  me = $state.raw<Me | undefined>(undefined);
  /** Whether the server has been asked yet. */
  known = $state(false);
  error = $state.raw<ApiError | undefined>(undefined);

  constructor() {
    setHooks({ unauthorized: () => this.#end() });
  }

  /** Asks the server who we are, at the start of the page. */
  async load(): Promise<void> {
    this.error = undefined;
    try {
      this.#begin(await calls.me());
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401) this.#end();
      else this.error = error;
    }
  }

  /** Logs in; the login page is then left for the one that was asked for. Throws ApiError. */
  async login(username: string, password: string): Promise<void> {
    this.#begin(await calls.login(username, password));
  }

  async logout(): Promise<void> {
    await calls.logout().catch((error: unknown) => {
      // A session that is already gone is what was asked for.
      if (!(error instanceof ApiError && error.status === 401)) throw error;
    });
    this.#leave();
    router.go('/login');
  }

  #begin(me: Me): void {
    this.me = me;
    this.known = true;
    fleet.start();
    intake.start();
    bell.start();
    void catalogue.load();
  }

  #leave(): void {
    this.me = undefined;
    this.known = true;
    fleet.stop();
    intake.stop();
    bell.stop();
  }

  #end(): void {
    this.#leave();
    if (router.path === '/login') return;
    router.go(loginHref(router.path + router.search), { replace: true });
  }
}

export const session = new Session();
