#!/usr/bin/perl
# Tries the ways out for which Node has no call: other protocols and socket families, socket options,
# system calls. kernel-probes.ts runs it and has the names of the probes:
#   perl kernel-probe.pl proxy=ADDRESS gateway=ADDRESS public=ADDRESS own=ADDRESS device=NAME limit=SECONDS
# It prints a JSON object a line, {"id","what","state","detail"}, and {"id":"done"} last.
# Each probe has a process of its own, so that whatever it achieves, a keyring or a namespace,
# ends with it. The modules are those of Debian's perl-base.
use strict;
use warnings;
use Config;
use Errno;
use Fcntl qw(F_GETFL F_SETFL O_NONBLOCK);
use POSIX ();
use Socket qw(:DEFAULT inet_pton pack_sockaddr_in6);

$| = 1;
my %arg   = map { split /=/, $_, 2 } @ARGV;
my $limit = $arg{limit};

# Numbers of system calls, x86_64 first, then aarch64 (asm/unistd_64.h, asm-generic/unistd.h).
my @table = qw(
    add_key           248  217    bpf               321  280    clone             56   220
    clone3            435  435    delete_module     176  106    finit_module      313  273
    fsconfig          431  431    fsmount           432  432    fsopen            430  430
    fspick            433  433    init_module       175  105    io_uring_setup    425  425
    kexec_file_load   320  294    kexec_load        246  104    keyctl            250  219
    mount             165  40     mount_setattr     442  442    move_mount        429  429
    open_by_handle_at 304  265    open_tree         428  428    perf_event_open   298  241
    pivot_root        155  41     request_key       249  218    setns             308  268
    socket            41   198    umount2           166  39     unshare           272  97
    userfaultfd       323  282
);
my %number;
while ( my ( $name, @numbers ) = splice @table, 0, 3 ) { $number{$name} = \@numbers }
my $machine = ( POSIX::uname() )[4];
my $column  = $Config{ptrsize} != 8 ? undef : { x86_64 => 0, aarch64 => 1 }->{$machine};

my %error = map { no strict 'refs'; ( &{"Errno::$_"}() => $_ ) } reverse sort keys %!;

# Each prints what one attempt came to; `what` tells it from the others of its probe.
my $id;

sub report {
    my ( $what, $state, $detail ) = @_;
    s/[^\x20-\x21\x23-\x5b\x5d-\x7e]/?/g for $what, $detail;
    syswrite STDOUT, qq({"id":"$id","what":"$what","state":"$state","detail":"$detail"}\n);
}

# What an error on the way to a socket, or from it, says: whoever refused a connection was reached,
# and an error that is not listed proves nothing.
sub network {
    my ( $what, $step ) = @_;
    my $name = $error{ $! + 0 } // "error " . ( $! + 0 );
    return report( $what, 'open', 'reached: it refused (ECONNREFUSED)' ) if $name eq 'ECONNREFUSED';
    my $closing = $name =~ /^E(?:PERM|ACCES|NETUNREACH|HOSTUNREACH|NETDOWN|ADDRNOTAVAIL|TIMEDOUT)$/
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
    $!{EINPROGRESS} or return network( $what, 'connect' );
    my $writable = '';
    vec( $writable, fileno $socket, 1 ) = 1;
    select undef, $writable, undef, $limit or return report( $what, 'closed', 'no answer' );
    $! = unpack 'i', getsockopt $socket, SOL_SOCKET, SO_ERROR;
    $! + 0 ? network( $what, 'connect' ) : report( $what, 'open', 'connected' );
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

# A socket option by number, as an attempt's preparation; names of those that Socket.pm may lack:
my ( $SO_BINDTODEVICE, $IP_OPTIONS ) = ( 25, 4 );

sub option {
    my ( $what, $level, $name, $value ) = @_;
    sub { setsockopt $_[0], $level, $name, $value or do { network( $what, 'setsockopt' ); 0 } };
}

# An ICMP or ICMPv6 echo request; the kernel fills in ICMPv6's checksum.
my $echo  = pack 'CCnnn', 8,   0, 0xf7ff, 0, 0;
my $echo6 = pack 'CCnnn', 128, 0, 0,      0, 0;

sub all_nodes {
    socket my $socket, AF_INET, SOCK_DGRAM, 0 or return;
    my $request = pack 'a16 x24', $arg{device};
    ioctl $socket, 0x8933, $request or return;    # SIOCGIFINDEX
    pack_sockaddr_in6( 0, inet_pton( AF_INET6, 'ff02::1' ), unpack 'x16 i', $request );
}

# Bare IPv4, of a protocol that is for experiments (RFC 3692), in the proxy's name.
sub spoofed {
    pack 'CCnnnCCna4a4', 0x45, 0, 20, 0, 0, 64, 253, 0, map { inet_aton($_) } $arg{proxy}, $arg{gateway};
}

sub from_whispers_port {
    my ($socket) = @_;
    setsockopt $socket, SOL_SOCKET, SO_REUSEADDR, 1;
    setsockopt $socket, SOL_SOCKET, SO_REUSEPORT, 1;
    return 1 if bind $socket, pack_sockaddr_in( 7860, inet_aton( $arg{own} ) );
    # Nobody gets past a listener: not by these two options, not on another address or device.
    $!{EADDRINUSE}
      ? report( '', 'closed', 'whisper listens on it, and while it does the kernel lets nobody else begin a connection there' )
      : network( '', 'bind' );
    0;
}

# A family counts as open as soon as it is reached: an error about the type or the protocol comes from
# the family itself, and whoever knows the right ones gets a socket.
sub families {
    my ( $is_named, @families ) = @_;
    for my $family (@families) {
        my $what = $is_named ? '' : "family $family";
        my @errors;
        for my $type ( SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, 5 ) {    # 5: SOCK_SEQPACKET
            # The kernel takes the lower 32 bits of a family, a filter may look at all 64.
            for my $spelling ( $family, $family + 2**32 ) {
                my $is_wide = $spelling != $family;
                next if $is_wide && !defined $column;
                my $done = $is_wide ? call( 'socket', $spelling, $type, 0 ) >= 0
                                    : socket my $socket, $family, $type, 0;
                push @errors, $done ? 'a socket' : $error{ $! + 0 } // $! + 0;
            }
        }
        my @shut = grep { /^E(?:PERM|ACCES|NOSYS|AFNOSUPPORT)$/ } @errors;
        my %seen;
        my $said = join ', ', grep { !$seen{$_}++ } @errors;
        report( $what, @shut == @errors ? 'closed' : 'open', $said );
    }
}

# Whether the sockets that whisper needs are to be had: here open is as it should be.
sub needed {
    for my $family ( [ UNIX => AF_UNIX ], [ INET => AF_INET ], [ NETLINK => 16 ] ) {
        my $type = $family->[1] == 16 ? SOCK_RAW : SOCK_STREAM;
        socket( my $socket, $family->[1], $type, 0 ) or return report( '', 'closed', "$family->[0]: $!" );
    }
    report( '', 'open', 'UNIX, INET, NETLINK' );
}

sub call {
    my ( $name, @arguments ) = @_;
    syscall $number{$name}[$column], @arguments;
}

# Whether a system call gets through: any other error than these comes from behind the filter and the
# check for capabilities.
sub reaches {
    my ( $what, $name, @arguments ) = @_;
    defined $column or return report( $what, 'unknown', "no system call numbers for $machine here" );
    my $result = call( $name, @arguments );
    my $error = $result < 0 ? $error{ $! + 0 } // "error " . ( $! + 0 ) : undef;
    # The process that clone has made must not go on.
    POSIX::_exit(0) if $name eq 'clone' && defined $result && $result == 0;
    return report( $what, 'open', 'it was done' ) if !defined $error;
    report( $what, $error =~ /^E(?:PERM|ACCES|NOSYS)$/ ? 'closed' : 'open', $error );
}

my %new = (
    mount   => 0x00020000,
    cgroup  => 0x02000000,
    uts     => 0x04000000,
    ipc     => 0x08000000,
    user    => 0x10000000,
    pid     => 0x20000000,
    network => 0x40000000,
    time    => 0x80,
);
my $SIGCHLD   = 17;
my $AT_FDCWD  = -100;
my $PROCESS_KEYRING = -2;
my $REVOKE    = 3;
my $NOWHERE   = '/proc/self/whisper-proxy-verify';    # exists on no system
my $NO_MOUNT  = '/proc/self/fd';                      # exists, and nothing is mounted there

# Arguments are such that nothing comes of it if it is allowed: a type, a path or a descriptor that
# does not exist, flags that are refused after the check, or what ends with this process.
my @probes = (
    [ 'bind-to-device' => sub {
        my $bind = sub { option( $_[0], SOL_SOCKET, $SO_BINDTODEVICE, "$arg{device}\0" ) };
        sends( 'UDP', AF_INET, SOCK_DGRAM, 0, to( public => 53 ), '', $bind->('UDP') );
        connects( 'TCP', SOCK_STREAM, 0, $arg{public}, 443, $bind->('TCP') );
    } ],
    [ 'source-port' => sub { connects( '', SOCK_STREAM, 0, $arg{proxy}, 3128, \&from_whispers_port ) } ],
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
    [ ping6      => sub { sends( '', AF_INET6, SOCK_DGRAM, 58, all_nodes(), $echo6 ) } ],
    [ 'icmp6-raw' => sub { sends( '', AF_INET6, SOCK_RAW, 58, all_nodes(), $echo6 ) } ],
    [ packet => sub { families( 1, 17 ) } ],
    [ vsock  => sub { families( 1, 40 ) } ],
    [ 'other-families' => sub { families( 0, grep { $_ !~ /^(?:1|2|10|16|17|40)$/ } 0 .. 63 ) } ],
    [ 'needed-families' => \&needed ],
    ( map { my $kind = $_; [ "$kind-namespace" => sub { reaches( '', 'unshare', $new{$kind} ) } ] } sort keys %new ),
    [ clone  => sub { reaches( '', 'clone', $new{user} | $SIGCHLD, 0, 0, 0, 0 ) } ],
    [ clone3 => sub { reaches( '', 'clone3', 0, 0 ) } ],
    [ setns => sub {
        open my $own, '<', '/proc/self/ns/net' or return report( '', 'unknown', "/proc/self/ns/net: $!" );
        reaches( '', 'setns', fileno $own, 0 );
    } ],
    [ 'add-key' => sub {
        reaches( '', 'add_key', 'user', 'whisper-proxy-verify', 'x', 1, $PROCESS_KEYRING );
        defined $column and call( 'keyctl', $REVOKE, $PROCESS_KEYRING );
    } ],
    [ 'request-key' => sub { reaches( '', 'request_key', 'user', 'whisper-proxy-verify', 0, 0 ) } ],
    [ keyctl => sub { reaches( '', 'keyctl', 0, $PROCESS_KEYRING, 0 ) } ],    # KEYCTL_GET_KEYRING_ID
    [ bpf => sub { reaches( '', 'bpf', 0, pack( 'L4 x112', 2, 4, 4, 1 ), 72 ) } ],    # an array of one
    [ 'io-uring' => sub { reaches( '', 'io_uring_setup', 1, "\0" x 120 ) } ],
    [ userfaultfd => sub { reaches( '', 'userfaultfd', 1 ) } ],    # UFFD_USER_MODE_ONLY
    # A counter that counts nothing, of this process, without the kernel.
    [ 'perf-event' => sub { reaches( '', 'perf_event_open', pack( 'LLQ x24 Q x64', 1, 112, 9, 0x60 ), 0, -1, -1, 0 ) } ],
    [ mount => sub { reaches( '', 'mount', 'none', '/', 'whisper-proxy-verify', 0, 0 ) } ],
    [ umount2 => sub { reaches( '', 'umount2', $NO_MOUNT, 0 ) } ],
    [ 'pivot-root' => sub { reaches( '', 'pivot_root', $NOWHERE, $NOWHERE ) } ],
    [ 'mount-files' => sub {
        reaches( 'fsopen',        'fsopen',        'whisper-proxy-verify', 0 );
        reaches( 'fspick',        'fspick',        $AT_FDCWD, $NO_MOUNT, 0 );
        reaches( 'fsconfig',      'fsconfig',      -1, 0, 0, 0, 0 );
        reaches( 'fsmount',       'fsmount',       -1, 0, 0 );
        reaches( 'open_tree',     'open_tree',     $AT_FDCWD, '/', 1 );
        reaches( 'move_mount',    'move_mount',    -1, $NOWHERE, -1, $NOWHERE, 0 );
        reaches( 'mount_setattr', 'mount_setattr', -1, $NOWHERE, 0, "\0" x 32, 32 );
    } ],
    [ kexec => sub {
        reaches( 'kexec_load',      'kexec_load',      0, 1000, 0, 0x8000 );
        reaches( 'kexec_file_load', 'kexec_file_load', -1, -1, 0, 0, 0x8000 );
    } ],
    [ modules => sub {
        reaches( 'init_module',   'init_module',   0, 0, '' );
        reaches( 'finit_module',  'finit_module',  -1, '', 0 );
        reaches( 'delete_module', 'delete_module', 'whisper_proxy_verify', O_NONBLOCK );
    } ],
    [ 'file-handle' => sub { reaches( '', 'open_by_handle_at', $AT_FDCWD, pack( 'LlQ', 8, 1, 0 ), 0 ) } ],
);

my %running;

sub reap {
    my $child = wait;
    $id = delete $running{$child} // return;
    return if $? == 0;
    # A filter may also kill; nothing has got out then.
    my $signal = $? & 127;
    $signal == 31 ? report( '', 'closed', 'the kernel killed the process that tried (SIGSYS)' )
                  : report( '', 'unknown', $signal ? "ended by signal $signal" : 'failed' );
}

for my $probe (@probes) {
    reap() while keys %running >= 8;
    ( $id, my $try ) = @$probe;
    my $child = fork;
    if ( !defined $child ) { report( '', 'unknown', "fork: $!" ); next }
    if ( $child == 0 ) {
        alarm 5;
        my $done = eval { $try->(); 1 };
        report( '', 'unknown', "failed: $@" ) if !$done;
        POSIX::_exit(0);
    }
    $running{$child} = $id;
}
reap() while %running;
print qq({"id":"done"}\n);
