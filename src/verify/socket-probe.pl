# The part of kernel-probe.pl that is about sockets: other protocols than Node has, options, families.
use strict;
use warnings;
use Fcntl qw(F_GETFL F_SETFL O_NONBLOCK);
use Socket qw(:DEFAULT inet_pton pack_sockaddr_in6);

our ( %arg, %error, $column );

# asm-generic/socket.h, linux/in.h, linux/tcp.h, linux/socket.h, linux/sockios.h: Socket.pm does not
# have them everywhere.
my ( $SO_BINDTODEVICE, $IP_OPTIONS, $IP_FREEBIND, $IP_TRANSPARENT ) = ( 25, 4, 15, 19 );
my ( $TCP_FASTOPEN_NO_COOKIE, $MSG_FASTOPEN ) = ( 34, 0x20000000 );
my ( $SIOCGIFMTU, $SIOCGIFINDEX ) = ( 0x8921, 0x8933 );
# What fits into an IPv4 packet beside its header and that of UDP.
my $LONGEST_DATAGRAM = 65_507;

# What an error on the way to a socket, or from it, says: whoever refused a connection was reached,
# and an error that is not listed proves nothing.
sub network {
    my ( $what, $step ) = @_;
    my $name = $error{ $! + 0 } // "error " . ( $! + 0 );
    return report( $what, 'open', 'reached: it refused (ECONNREFUSED)' ) if $name eq 'ECONNREFUSED';
    my $closing = $name =~ /^E(?:PERM|ACCES|NETUNREACH|HOSTUNREACH|NETDOWN|ADDRNOTAVAIL|TIMEDOUT)$/
      || $step eq 'fast open' && $name eq 'EOPNOTSUPP'    # switched off, by sysctl
      # From an address that this namespace has not; later kernels say ENETUNREACH.
      || $step eq 'send from there' && $name eq 'EINVAL'
      || $step eq 'socket' && $name =~ /^E(?:NOSYS|AFNOSUPPORT|PROTONOSUPPORT|SOCKTNOSUPPORT)$/;
    $closing ? report( $what, 'closed', "$name at $step" )
             : report( $what, 'unknown', "could not be tried: $name at $step" );
}

# Opens a connection. $prepare gets the socket before, and returns false if it fails.
sub connects {
    my ( $what, $type, $protocol, $address, $port, $prepare ) = @_;
    socket my $socket, AF_INET, $type, $protocol or return network( $what, 'socket' );
    !$prepare || $prepare->($socket) or return;
    fcntl $socket, F_SETFL, fcntl( $socket, F_GETFL, 0 ) | O_NONBLOCK;
    connect $socket, pack_sockaddr_in( $port, inet_aton($address) )
      and return report( $what, 'open', 'connected' );
    $!{EINPROGRESS} ? awaits( $what, $socket ) : network( $what, 'connect' );
}

# Waits for what comes of a connection that was begun.
sub awaits {
    my ( $what, $socket ) = @_;
    my $writable = '';
    vec( $writable, fileno $socket, 1 ) = 1;
    select undef, $writable, undef, $arg{limit} or return unanswered( $what, $socket );
    $! = unpack 'i', getsockopt $socket, SOL_SOCKET, SO_ERROR;
    $! + 0 ? network( $what, 'connect' ) : report( $what, 'open', 'connected' );
}

# Without an answer, the kernel tells of TCP whether it left; after a while it has tried twice.
sub unanswered {
    my ( $what, $socket ) = @_;
    my $is_tcp = defined getsockopt $socket, 6, 11;
    my $fate   = fate($socket);
    for ( 1 .. 30 ) { last if !$is_tcp || $fate ne ''; select undef, undef, undef, 0.1; $fate = fate($socket) }
    return report( $what, 'closed', 'no answer' ) if !$is_tcp;
    return report( $what, 'open', 'it left: nobody answered' ) if $fate eq 'left';
    return report( $what, 'closed', 'it was dropped' ) if $fate eq 'dropped';
    report( $what, 'unknown', 'no answer, and the kernel does not tell whether it left' );
}

# Begins a connection with data in its first packet, without a cookie of the server's.
sub opens_fast {
    my ( $what, $port ) = @_;
    socket my $socket, AF_INET, SOCK_STREAM, 0 or return network( $what, 'socket' );
    # Where the kernel has it not, it asks for a cookie, with a packet all the same.
    setsockopt $socket, 6, $TCP_FASTOPEN_NO_COOKIE, 1;
    fcntl $socket, F_SETFL, fcntl( $socket, F_GETFL, 0 ) | O_NONBLOCK;
    defined send( $socket, 'x', $MSG_FASTOPEN, to( $what => $port ) ) || $!{EINPROGRESS}
      ? awaits( $what, $socket )
      : network( $what, 'fast open' );
}

# Sends one packet. If the kernel takes it, it has passed the rules, which drop in the output hook.
sub sends {
    my ( $what, $family, $type, $protocol, $to, $packet, $prepare ) = @_;
    socket my $socket, $family, $type, $protocol or return network( $what, 'socket' );
    !$prepare || $prepare->($socket) or return;
    fcntl $socket, F_SETFL, fcntl( $socket, F_GETFL, 0 ) | O_NONBLOCK;
    defined send( $socket, $packet, 0, $to ) ? report( $what, 'open', 'it was sent' )
                                             : network( $what, 'send' );
}

sub to { pack_sockaddr_in( $_[1], inet_aton( $arg{ $_[0] } ) ) }

# A socket option, as a preparation.
sub option {
    my ( $what, $level, $name, $value ) = @_;
    sub { setsockopt $_[0], $level, $name, $value or do { network( $what, 'setsockopt' ); 0 } };
}

# Echo requests; the kernel fills in the checksum of ICMPv6.
my $echo  = pack 'CCnnn', 8,   0, 0xf7ff, 0, 0;
my $echo6 = pack 'CCnnn', 128, 0, 0,      0, 0;

# A number that the device has (netdevice(7)).
sub of_device {
    my ($which) = @_;
    socket my $socket, AF_INET, SOCK_DGRAM, 0 or die "socket: $!";
    my $request = pack 'a16 x24', $arg{device};
    ioctl $socket, $which, $request or die "$arg{device}: $!";
    unpack 'x16 i', $request;
}

sub all_nodes { pack_sockaddr_in6( 0, inet_pton( AF_INET6, 'ff02::1' ), of_device($SIOCGIFINDEX) ) }

# A ping socket does not tell whether an ICMPv6 packet was dropped, so this asks what left. Other IPv6
# multicast that leaves at the same time is no less a way out.
sub pings6 {
    my $before = left6() // return report( '', 'unknown', "/proc/net/snmp6: $!" );
    socket my $socket, AF_INET6, SOCK_DGRAM, 58 or return network( '', 'socket' );
    defined send $socket, $echo6, 0, all_nodes() or return network( '', 'send' );
    left6() > $before ? report( '', 'open', 'it was sent' ) : report( '', 'closed', 'it was dropped' );
}

sub left6 {
    # A kernel without IPv6 has no such file, and no such socket.
    open my $counters, '<', '/proc/net/snmp6' or return $!{ENOENT} ? 0 : undef;
    my ($left) = grep { defined } map { /^Ip6OutMcastPkts\s+(\d+)/ ? $1 : undef } <$counters>;
    $left;
}

# Bare IPv4, of a protocol that is for experiments (RFC 3692), in the proxy's name.
sub spoofed {
    pack 'CCnnnCCna4a4', 0x45, 0, 20, 0, 0, 64, 253, 0, map { inet_aton($_) } $arg{proxy}, $arg{gateway};
}

# UDP with the proxy's address as its sender, to where whisper may send.
sub in_its_name {
    my ( $what, $option ) = @_;
    socket my $socket, AF_INET, SOCK_DGRAM, 0 or return network( $what, 'socket' );
    !$option or setsockopt $socket, 0, $option, 1 or return network( $what, 'setsockopt' );
    bind $socket, to( proxy => 0 ) or return network( $what, 'bind' );
    defined send( $socket, '', 0, to( proxy => 53 ) ) ? report( $what, 'open', 'it was sent' )
                                                      : network( $what, 'send from there' );
}

# Asks rtnetlink for a change. It looks for the right to do so first, and then for the device, which
# does not exist.
sub changes {
    my ( $what, $type, $body ) = @_;
    socket my $socket, 16, SOCK_RAW, 0 or return network( $what, 'socket' );
    # nlmsghdr, with NLM_F_REQUEST and NLM_F_ACK; what comes is nlmsgerr behind another.
    my $message = pack( 'LSSLL', 16 + length $body, $type, 5, 1, 0 ) . $body;
    defined send $socket, $message, 0 or return network( $what, 'send' );
    defined recv $socket, my $answer, 4096, 0 or return network( $what, 'recv' );
    $! = -unpack 'x16 l', $answer;
    my $name = $! + 0 ? $error{ $! + 0 } // "error " . ( $! + 0 ) : 'it was done';
    report( $what, $name =~ /^E(?:PERM|ACCES)$/ ? 'closed' : 'open', $name );
}

sub from_whispers_port {
    my ($socket) = @_;
    setsockopt $socket, SOL_SOCKET, SO_REUSEADDR, 1;
    setsockopt $socket, SOL_SOCKET, SO_REUSEPORT, 1;
    return 1 if bind $socket, pack_sockaddr_in( 7860, inet_aton( $arg{own} ) );
    # Nobody gets past a listener: not by these two options, not on another address or device, and not
    # without bind: IP_LOCAL_PORT_RANGE chooses among the ports that nobody has bound.
    $!{EADDRINUSE}
      ? report( '', 'untried', 'whisper listens on it, and then the kernel lets nobody else begin there' )
      : network( '', 'bind' );
    0;
}

# A family counts as open as soon as it is reached: an error about the type or the protocol comes from
# the family itself, and whoever knows the right ones gets a socket.
sub families {
    my ( $is_named, @families ) = @_;
    my %shut;
    for my $family (@families) {
        my %said;
        for my $type ( SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, 5 ) {    # 5: SOCK_SEQPACKET
            # The kernel takes the lower 32 bits of a family, a filter may look at all 64.
            for my $spelling ( $family, $family + 2**32 ) {
                my $is_wide = $spelling != $family;
                next if $is_wide && !defined $column;
                my $done = $is_wide ? call( 'socket', $spelling, $type, 0 ) >= 0
                                    : socket my $socket, $family, $type, 0;
                $said{ $done ? 'a socket' : $error{ $! + 0 } // $! + 0 } = 1;
            }
        }
        my $said = join ', ', sort { $b =~ / / <=> $a =~ / / || $a cmp $b } keys %said;
        my $is_reached = grep { !/^E(?:PERM|ACCES|NOSYS|AFNOSUPPORT)$/ } keys %said;
        if   ($is_reached) { report( $is_named ? '' : "family $family", 'open', $said ) }
        else               { $shut{$said}++ }
    }
    report( $is_named ? '' : "$shut{$_} of them", 'closed', $_ ) for sort keys %shut;
}

# Kinds of netlink, from NETLINK_ROUTE on: the firewall's, the one that loads modules, and so on. The
# kernel takes the lower 32 bits of these as well.
sub netlink {
    my %shut;
    for my $protocol ( 1 .. 31 ) {
        my %said;
        for my $type ( SOCK_DGRAM, SOCK_RAW ) {
            my @made = ( socket( my $socket, 16, $type, $protocol ) ? 'a socket' : $error{ $! + 0 } );
            push @made, call( 'socket', 16, $type, $protocol + 2**32 ) >= 0 ? 'a socket' : $error{ $! + 0 }
              if defined $column;
            $said{ $_ // 'an error' } = 1 for @made;
        }
        my $said = join ', ', sort keys %said;
        if   ( grep { !/^E(?:PERM|ACCES|NOSYS|AFNOSUPPORT|PROTONOSUPPORT)$/ } keys %said ) { report( $protocol, 'open', $said ) }
        else { $shut{$said}++ }
    }
    report( "$shut{$_} of them", 'closed', $_ ) for sort keys %shut;
}

# Whether the sockets that whisper needs are to be had: here open is as it should be.
sub needed {
    for my $family ( [ UNIX => AF_UNIX ], [ INET => AF_INET ], [ NETLINK => 16 ] ) {
        my $type = $family->[1] == 16 ? SOCK_RAW : SOCK_STREAM;
        socket( my $socket, $family->[1], $type, 0 ) or return report( '', 'closed', "$family->[0]: $!" );
    }
    report( '', 'open', 'UNIX, INET, NETLINK' );
}

# Each is an id and what tries it.
sub socket_probes {
    return (
        [ 'bind-to-device' => sub {
            for my $address ( $arg{public}, '169.254.169.254', '224.0.0.251', '255.255.255.255' ) {
                my $what = "UDP to $address";
                my $bind = option( $what, SOL_SOCKET, $SO_BINDTODEVICE, "$arg{device}\0" );
                my $prepare = sub { setsockopt $_[0], SOL_SOCKET, SO_BROADCAST, 1; $bind->( $_[0] ) };
                my $to = pack_sockaddr_in( 53, inet_aton($address) );
                sends( $what, AF_INET, SOCK_DGRAM, 0, $to, '', $prepare );
            }
            my $bind = option( 'TCP', SOL_SOCKET, $SO_BINDTODEVICE, "$arg{device}\0" );
            connects( 'TCP', SOCK_STREAM, 0, $arg{public}, 443, $bind );
        } ],
        [ 'source-port' => sub { connects( '', SOCK_STREAM, 0, $arg{proxy}, 3128, \&from_whispers_port ) } ],
        [ 'fast-open' => sub { opens_fast( $_, 443 ) for qw(gateway public) } ],
        [ fragments => sub {
            # With the header of UDP and that of IP, the longest datagram there is still exceeds an MTU of 65520.
            my $length = of_device($SIOCGIFMTU) + 1;
            $length = $LONGEST_DATAGRAM if $length > $LONGEST_DATAGRAM;
            my $packet = 'x' x $length;
            sends( $_, AF_INET, SOCK_DGRAM, 0, to( $_ => 53 ), $packet ) for qw(gateway public);
        } ],
        [ sender => sub {
            in_its_name('bind');
            in_its_name( 'IP_FREEBIND',    $IP_FREEBIND );
            in_its_name( 'IP_TRANSPARENT', $IP_TRANSPARENT );
        } ],
        [ 'ip-options' => sub {
            my $hop = inet_aton( $arg{gateway} );
            my %options = (
                'record route' => pack( 'CCCNC', 7, 7, 4, 0, 0 ),
                'router alert' => pack( 'CCn', 148, 4, 0 ),
                'source route' => pack( 'CCCa4C', 131, 7, 4, $hop, 0 ),
            );
            for my $to ( [ 'the proxy', to( proxy => 53 ) ], [ 'the gateway', to( gateway => 53 ) ] ) {
                for my $kind ( sort keys %options ) {
                    my $what = "$kind to $to->[0]";
                    sends( $what, AF_INET, SOCK_DGRAM, 0, $to->[1], '',
                        option( $what, 0, $IP_OPTIONS, $options{$kind} ) );
                }
            }
        } ],
        [ mptcp => sub { connects( $_, SOCK_STREAM, 262, $arg{$_}, 443 ) for 'gateway', 'public' } ],
        [ 'udp-lite' => sub { sends( $_, AF_INET, SOCK_DGRAM, 136, to( $_ => 53 ), '' ) for qw(proxy gateway public) } ],
        [ sctp => sub { connects( $_, SOCK_STREAM, 132, $arg{$_}, 3128 ) for qw(proxy gateway) } ],
        [ dccp => sub { connects( $_, 6, 33, $arg{$_}, 3128 ) for qw(proxy gateway) } ],
        [ ping => sub { sends( $_, AF_INET, SOCK_DGRAM, 1, to( $_ => 0 ), $echo ) for qw(proxy gateway public) } ],
        [ 'icmp-raw' => sub { sends( $_, AF_INET, SOCK_RAW, 1, to( $_ => 0 ), $echo ) for qw(proxy gateway public) } ],
        [ 'ip-raw'   => sub { sends( '', AF_INET, SOCK_RAW, 255, to( gateway => 0 ), spoofed() ) } ],
        [ ping6 => \&pings6 ],
        [ 'icmp6-raw' => sub { sends( '', AF_INET6, SOCK_RAW, 58, all_nodes(), $echo6 ) } ],
        [ packet => sub { families( 1, 17 ) } ],
        [ vsock  => sub { families( 1, 40 ) } ],
        [ 'other-families' => sub { families( 0, grep { $_ !~ /^(?:1|2|10|16|17|40)$/ } 0 .. 63 ) } ],
        [ netlink => \&netlink ],
        [ rtnetlink => sub {
            my $nowhere = 0x7fffffff;    # a device
            my $taken   = inet_aton( $arg{proxy} );
            changes( 'address', 20, pack 'CCCCL SSa4', AF_INET, 32, 0, 0, $nowhere, 8, 2, $taken );
            changes( 'route', 24, pack 'C8L SSL', AF_INET, 0, 0, 0, 254, 4, 0, 1, 0, 8, 4, $nowhere );
            changes( 'device', 16, pack 'CxSLLL', 0, 0, $nowhere, 0, 0 );
        } ],
        [ 'needed-families' => \&needed ],
    );
}

1;
