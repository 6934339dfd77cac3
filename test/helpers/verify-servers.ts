/**
 * For perl -e: more refused datagrams and connections than the kernel answers with ICMP, for some
 * seconds. Arguments: the seconds, then addresses.
 */
export const FLOODING = `
  use Socket; use Fcntl;
  my ($seconds, @addresses) = @ARGV;
  my $end = time + $seconds;
  my @to = map { pack_sockaddr_in(9, inet_aton($_)) } @addresses;
  socket my $udp, AF_INET, SOCK_DGRAM, 0 or die;
  $| = 1; print "ready\\n";
  while (time < $end) {
    for (1 .. 30) { send $udp, '', 0, $_ for @to }
    for my $to (@to) {
      socket my $tcp, AF_INET, SOCK_STREAM, 0 or next;
      fcntl $tcp, F_SETFL, O_NONBLOCK;
      connect $tcp, $to;
    }
    select undef, undef, undef, 0.005;
  }
`;
/** For node -e: an HTTP server that answers everything, CONNECT included, with one status. */
export const ANSWERING = `
  const [address, port, status] = process.argv.slice(1);
  const server = require('node:http').createServer((_, response) => {
    response.writeHead(Number(status)).end();
  });
  server.on('connect', (_, socket) => {
    socket.on('error', () => undefined).end('HTTP/1.1 ' + status + ' X\\r\\n\\r\\n');
  });
  server.listen(Number(port), address, () => console.log('ready'));
`;
/**
 * For node -e: a TLS server, as far as its first answer: a ServerHello for a ClientHello. What is no
 * TLS comes back.
 */
export const TLS_ANSWERING = `
  const [address, port] = process.argv.slice(1);
  const hello = Buffer.from('160303000402000000', 'hex');
  const server = require('node:net').createServer((client) => {
    client.on('error', () => undefined).on('data', (bytes) => {
      client.write(bytes[0] === 22 ? hello : bytes);
    });
  });
  server.listen(Number(port), address, () => console.log('ready'));
`;
/** For node -e: a name server that has an address for every name. */
export const NAMING = `
  const [address] = process.argv.slice(1);
  const answerTo = (question) => {
    const answer = Buffer.concat([question, Buffer.from('c00c0001000100000e100004c0000201', 'hex')]);
    answer.writeUInt16BE(0x8180, 2);
    answer.writeUInt16BE(1, 6);
    return answer;
  };
  const socket = require('node:dgram').createSocket('udp4');
  socket.on('message', (question, { port, address }) => {
    if (question.length >= 12) socket.send(answerTo(question), port, address);
  });
  const server = require('node:net').createServer((client) => {
    client.on('error', () => undefined).on('data', (bytes) => {
      const answer = answerTo(bytes.subarray(2));
      client.write(Buffer.concat([Buffer.from([answer.length >> 8, answer.length & 255]), answer]));
    });
  });
  socket.bind(53, address, () => server.listen(53, address, () => console.log('ready')));
`;
