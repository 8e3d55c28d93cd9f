/** The operator's paths of the API: members, leadership, status. Caller's thread. */
import { ReplicaError } from '../../base/errors.ts'
import type { MembershipChange } from '../../engine/operator.ts'
import type { Hosted } from '../hosted.ts'
import type { LaterMember } from '../later-members.ts'
import type { Fields } from '../http/json.ts'
import type { Route, Routes } from './routes.ts'

const ID_MAX = 65_535

export interface ClusterParts {
  readonly hosted: Hosted
  readonly version: string
  readonly clientUrls: () => readonly string[]
}

export function clusterRoutes({ hosted, version, clientUrls }: ClusterParts): Routes {
  const change = (changeOf: (fields: Fields) => MembershipChange): Route => ({
    role: 'admin',
    async run(fields) {
      const made = changeOf(fields)
      fields.done()
      await hosted.serving().node.changeMembership(made)
      return membersOf(hosted)
    },
  })
  return {
    '/v3/cluster/member/list': {
      role: 'read',
      async run(fields) {
        fields.done()
        return membersOf(hosted)
      },
    },
    '/v3/cluster/member/address': {
      role: 'admin',
      async run(fields) {
        const member = laterMemberOf(fields)
        fields.done()
        hosted.learn(member)
        return { header: { member_id: String(hosted.serving().node.id) } }
      },
    },
    '/v3/cluster/member/add': change(additionOf),
    '/v3/cluster/member/remove': change((fields) => ({ kind: 'remove', id: idOf(fields) })),
    '/v3/cluster/member/promote': change((fields) => ({
      ...{ kind: 'role', id: idOf(fields), role: 'voter' },
    })),
    '/v3/cluster/member/set': change(settingOf),
    '/v3/maintenance/status': {
      role: 'read',
      async run(fields) {
        fields.done()
        return statusOf(hosted, version, clientUrls())
      },
    },
    '/v3/maintenance/transfer-leadership': {
      role: 'admin',
      async run(fields) {
        const target = fields.integer('target_id', 1, ID_MAX, 0)
        if (!fields.has('target_id')) fields.problems.push('target_id: missing')
        fields.done()
        await hosted.serving().node.transfer(target)
        return statusOf(hosted, version, clientUrls())
      },
    },
  }
}

function idOf(fields: Fields): number {
  if (!fields.has('id')) fields.problems.push('id: missing')
  return fields.integer('id', 1, ID_MAX, 0)
}

const PROMOTED = ['voter', 'logger', 'none'] as const

function additionOf(fields: Fields): MembershipChange {
  const id = idOf(fields)
  const promote = fields.choice('promote', PROMOTED, 'voter')
  const weight = fields.has('weight') ? fields.integer('weight', 0, 9, 5) : null
  return {
    ...{ kind: 'add', id },
    ...(promote !== 'none' && { promote }),
    ...(weight !== null && { weight }),
  }
}

/** What every member is told before a new one is added. */
function laterMemberOf(fields: Fields): LaterMember {
  const id = idOf(fields)
  const name = fields.text('name') ?? ''
  const text = fields.text('peer_url') ?? ''
  const url = URL.parse(text.replace(/^tcp:/, 'http:'))
  const port = Number(/:([0-9]{1,5})$/.exec(text)?.[1] ?? 0)
  if (!NAME.test(name)) fields.problems.push('name: want letters, digits, dots and dashes')
  if (!text.startsWith('tcp://') || url === null || port < 1 || port > 65_535)
    fields.problems.push('peer_url: want tcp://HOST:PORT')
  const host = (url?.hostname ?? '').replace(/^\[(.*)\]$/, '$1')
  return { id, name, peer: { host, port } }
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/

const FORCED = ['armed', 'degraded', 'none'] as const

function settingOf(fields: Fields): MembershipChange {
  const id = idOf(fields)
  const weight = fields.has('weight') ? fields.integer('weight', 0, 9, 5) : null
  const source = fields.has('source') ? fields.integer('source', 0, ID_MAX, 0) : null
  const forced = fields.has('forced') ? fields.choice('forced', FORCED, 'none') : null
  if (weight === null && source === null && forced === null)
    fields.problems.push('weight, source, forced: want one of them')
  return {
    ...{ kind: 'set', id },
    ...(weight !== null && { weight }),
    ...(source !== null && { source }),
    ...(forced !== null && { forced }),
  }
}

function membersOf(hosted: Hosted) {
  const { node } = hosted.serving()
  const { membership, leader } = node.status()
  if (membership === null)
    throw new ReplicaError('E_READ_REFUSED', 'no membership is known yet', { reason: 'no-leader' })
  return {
    header: { member_id: String(node.id), revision: String(membership.index) },
    leader: String(leader),
    prepare_quorum: membership.prepareQuorum,
    accept_quorum: membership.acceptQuorum,
    highest_id: String(membership.highestId),
    members: membership.members.map(({ id, role, weight, forced, source, promote }) => ({
      id: String(id),
      name: hosted.nameOf(id),
      ...{ role, weight, forced, promote },
      source: source === null ? null : String(source),
    })),
  }
}

function statusOf(hosted: Hosted, version: string, urls: readonly string[]) {
  const { node, name } = hosted.serving()
  const status = node.status()
  const { leader, role, promised, last, chosen, durable, applied } = status
  return {
    header: { member_id: String(node.id), revision: String(applied) },
    ...{ version, name, role },
    leader: String(leader),
    leader_name: leader === 0 ? null : hosted.nameOf(leader),
    ballot: String(promised),
    last_index: String(last),
    chosen_index: String(chosen),
    durable_index: String(durable),
    applied_index: String(applied),
    client_urls: urls,
  }
}
