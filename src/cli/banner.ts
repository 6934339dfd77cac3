import { formatListenAddress } from '../config/values.ts';
import type { Addresses } from '../sidecar.ts';

/**
 * What `serve --local` prints once it listens: where, and three lines to paste.
 * @param demoAddress where the demo host is, which the demo rule allows.
 */
export function banner(addresses: Addresses, demoAddress: string): string {
  const ingress = `http://${formatListenAddress(addresses.ingress)}`;
  const egress = `http://${formatListenAddress(addresses.egress)}`;
  const admin = `http://${formatListenAddress(addresses.admin)}`;
  // --noproxy '': a NO_PROXY in the environment would lead curl past the proxy.
  const out = `curl -s --noproxy '' -x ${egress}`;
  return `whisper-proxy, on loopback. In whisper's place is a stand-in: it is not speech recognition.

  ingress  ${ingress}  the way to whisper
  egress   ${egress}  the way out; EGRESS_ALLOW_DEMO=${demoAddress}
  status   ${admin}/  the status page, for a browser

Paste into another terminal:

  # a recording goes in, its transcript comes back
  curl -s ${ingress}/demo.wav | curl -sF 'file=@-;filename=demo.wav' ${ingress}/transcribe

  # a call out is refused: the answer names the line that would allow it
  ${out} http://example.com/

  # the same call, to a host that the demo rule allows
  ${out} http://${demoAddress}/

Each decision shows below. This shows the proxy, isolation needs the gate.

`;
}
