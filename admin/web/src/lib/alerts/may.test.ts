import { expect, it } from 'vitest';
import type { Role } from '$lib/api/types';
import { mayAdminister, mayCare, mayOperate } from './may';

it.each<[Role | undefined, boolean, boolean, boolean]>([
  [undefined, false, false, false], ['viewer', false, false, false], ['technician', true, false, false],
  ['operator', true, true, false], ['admin', true, true, true],
])('%s', (role, care, operate, administer) => {
  expect([mayCare(role), mayOperate(role), mayAdminister(role)]).toEqual([care, operate, administer]);
});
