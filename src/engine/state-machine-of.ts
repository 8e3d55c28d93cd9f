/**
 * Opens a state machine by its description, in the thread that will run it: a built-in by name, a
 * user's by the URL of a module that exports `createStateMachine()`.
 */
import { assert } from '../base/assert.ts'
import { ReplicaError } from '../base/errors.ts'
import type { StateMachine } from '../base/state-machine.ts'
import { createHashStateMachine } from '../state-machines/hash-state-machine.ts'
import { createKeyValueStateMachine } from '../state-machines/key-value.ts'
import type { StateMachineSpec } from './node-spec.ts'

/** @throws ReplicaError E_STATE_MACHINE when the module cannot be loaded or makes none */
export async function openStateMachine(spec: StateMachineSpec): Promise<StateMachine> {
  assert(spec.kind !== 'caller', 'the caller brings its own')
  if (spec.kind === 'builtin') {
    return spec.name === 'kv' ? createKeyValueStateMachine() : createHashStateMachine()
  }
  try {
    const module = (await import(spec.url)) as { createStateMachine?: () => StateMachine }
    if (typeof module.createStateMachine === 'function') return module.createStateMachine()
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new ReplicaError('E_STATE_MACHINE', reason, { reason }, 'not-proposed', { cause })
  }
  const reason = `${spec.url} does not export createStateMachine()`
  throw new ReplicaError('E_STATE_MACHINE', reason, { reason })
}
