/** A sync has failed: it is never tried again. The node ends, and comes back with what is there. */
import { cover } from './coverage.ts'
import { crash, restart } from './ops.ts'
import { type SimNode, type World, after } from './world.ts'

const RESTART_US = 50_000

export function endByDisk<M>(world: World<M>, node: SimNode<M>): void {
  if (node.leading !== null) cover(world.coverage, 'leader-down-by-disk')
  crash(world, node, true)
  after(world, RESTART_US, () => {
    if (!node.alive) cover(world.coverage, 'sync-failure-handled')
    restart(world, node)
  })
}
