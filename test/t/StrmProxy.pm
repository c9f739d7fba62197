# A TCP proxy between a client and a server on this machine, which can be told to misbehave as networks do.
#
#   my $proxy = strm_proxy($port, $target);     # listens on $port, connects to $target, both on 127.0.0.1; ends with the test
#   $proxy->do('cut');                          # closes all connections, and each new one at once
#   $proxy->do('hole');                         # forwards nothing; connections stay as they are
#   $proxy->do('open');                         # forwards (again)
#
# What it has read when it is told to hold is delivered when it opens again, also of clients that have gone meanwhile.
package StrmProxy;
use strict;
use warnings;
use Exporter 'import';
use Errno qw(EAGAIN EWOULDBLOCK EINTR);
use IO::Select;
use IO::Socket::INET;
use Socket;

our @EXPORT = qw(strm_proxy);

use constant BUFFER => 1024 * 1024;

my $owner = $$;
my @pids;
END
{
	my $status = $?;
	if ($$ == $owner && @pids) { kill 'KILL', @pids; waitpid $_, 0 for @pids }
	$? = $status;
}

sub strm_proxy
{
	my ($port, $target) = @_;
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 100, ReuseAddr => 1) or die "port $port: $!";
	socketpair(my $ours, my $its, AF_UNIX, SOCK_STREAM, 0) or die $!;
	my $pid = fork // die $!;
	if ($pid == 0)
	{
		close $ours;
		$SIG{PIPE} = 'IGNORE';
		serve($listener, $its, $target);
		require POSIX;
		POSIX::_exit(0);
	}
	push @pids, $pid;
	close $its;
	return bless { control => $ours }, __PACKAGE__;
}

# Tells it what to do, and returns when it does that.
sub do
{
	my ($self, $verb) = @_;
	syswrite($self->{control}, "$verb\n") or die $!;
	sysread($self->{control}, my $answer, 10) or die 'the proxy has gone';
	return;
}

# The process. A side of a connection is a hash of its socket, its peer, and what is to be written to it.
sub serve
{
	my ($listener, $control, $target) = @_;
	my ($mode, %sides) = ('open');
	# as it ended on one side (in order, or not), so does it on the other
	my $end = sub
	{
		my ($side, $reset) = @_;
		for my $one ($side, $side->{peer})
		{
			delete $sides{ fileno $one->{socket} };
			setsockopt $one->{socket}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0) if $reset;
			close $one->{socket};
		}
	};
	my $ok = sub { my ($n) = @_; return $n || (!defined $n && ($!{EAGAIN} || $!{EWOULDBLOCK} || $!{EINTR})) };
	for (;;)
	{
		my ($read, $write) = (IO::Select->new($control), IO::Select->new);
		$read->add($listener) if $mode ne 'hole';
		for my $side ($mode eq 'open' ? values %sides : ())
		{
			$read->add($side->{socket}) if length $side->{peer}{out} < BUFFER;
			$write->add($side->{socket}) if length $side->{out};
		}
		my ($readable, $writable) = IO::Select->select($read, $write, undef);
		for my $socket (@{ $readable // [] })
		{
			if ($socket == $control)
			{
				sysread($control, my $verb, 10) or return;
				chomp($mode = $verb);
				if ($mode eq 'cut') { $end->($_) while ($_) = values %sides }
				syswrite($control, "done\n");
				last;
			}
			if ($socket == $listener)
			{
				my $client = $listener->accept or next;
				next if $mode eq 'cut';
				my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $target, Timeout => 5) or next;
				my @pair = map { { socket => $_, out => '' } } $client, $server;
				($pair[0]{peer}, $pair[1]{peer}) = @pair[ 1, 0 ];
				for (@pair) { $_->{socket}->blocking(0); $sides{ fileno $_->{socket} } = $_ }
				next;
			}
			my $side = $sides{ fileno($socket) // next } or next;
			my $peer = $side->{peer};
			my $n = sysread $socket, $peer->{out}, 65536, length $peer->{out};
			$end->($side, !defined $n) if !$ok->($n);
		}
		next if $mode ne 'open';
		for my $socket (@{ $writable // [] })
		{
			my $side = $sides{ fileno($socket) // next } or next;
			my $n = syswrite $socket, $side->{out};
			if (!$ok->($n)) { $end->($side, 1) }
			elsif ($n) { substr($side->{out}, 0, $n) = '' }
		}
	}
}

1;
