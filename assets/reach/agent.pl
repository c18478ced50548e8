# The same as agent.py, for machines with perl and without python3; core modules only.
use strict;
use Socket;
use Errno qw(EINPROGRESS EADDRINUSE EADDRNOTAVAIL EACCES EAGAIN ECONNREFUSED ECONNRESET ETIMEDOUT);
use Fcntl qw(F_GETFL F_SETFL O_NONBLOCK);
my ($mark, $address, $life, $wanted) = @ARGV;
my $size = 4096;
my $out = "";
sub put { $out .= "$mark $_[0]=$_[1]\n" }
sub flush { while (length $out) { my $n = syswrite(STDOUT, $out); exit 0 unless defined $n; substr($out, 0, $n) = "" } }
my $hires = eval { require Time::HiRes; 1 };
sub now { $hires ? Time::HiRes::time() : time() }
$SIG{PIPE} = "IGNORE";
if (open(my $name, ">", "/proc/self/comm")) { print $name "mosip-preflight"; close $name }
sub quiet { fcntl($_[0], F_SETFL, (fcntl($_[0], F_GETFL, 0) || 0) | O_NONBLOCK) }

my (%listen, %call, %try, @taken, @wait);
my $end = now() + $life;
for my $word (grep { length } split /,/, $wanted) {
  my ($tcp, $port) = (substr($word, 0, 1) eq "t", substr($word, 1));
  for my $place (inet_aton($address), INADDR_ANY) {
    socket(my $one, PF_INET, $tcp ? SOCK_STREAM : SOCK_DGRAM, 0) or do { put("listen", "$word failed $!"); last };
    setsockopt($one, SOL_SOCKET, SO_REUSEADDR, 1) if $tcp;
    if (bind($one, sockaddr_in($port, $place)) && (!$tcp || listen($one, 256))) {
      quiet($one);
      $listen{fileno $one} = [$one, $tcp];
      put("listen", "$word bound");
    } elsif ($!{EADDRNOTAVAIL} && $place ne INADDR_ANY) { next }
    elsif ($!{EADDRINUSE}) { push @taken, $word }
    elsif ($!{EACCES}) { put("listen", "$word no-sudo") }
    else { put("listen", "$word failed $!") }
    last;
  }
}
if (@taken) {
  my %known;
  for (`ss -Hlntup 2>/dev/null`) { $known{substr($1, 0, 1) . $2} = $3 if /^(\w+)\s+\S+\s+\S+\s+\S+\s+\S+:(\d+)\s.*\(\("([^"]+)"/ }
  put("listen", "$_ busy " . (defined $known{$_} ? $known{$_} : "")) for @taken;
}
put("ready", 1);
flush();

my ($commands, $patience, $ended) = ("", 3, 1);
sub done { my ($number, $result) = @_; put("path", "$try{$number}{id} $result"); delete $try{$number} }
sub failed { my $code = shift; return "refused" if $code == ECONNREFUSED || $code == ECONNRESET; return "silent" if $code == ETIMEDOUT; local $! = $code; return "unreachable $!" }
sub begin {
  my ($id, $kind, $host, $port) = split /:/, shift;
  my $now = now();
  socket(my $s, PF_INET, $kind eq "u" ? SOCK_DGRAM : SOCK_STREAM, 0) or do { put("path", "$id untried $!"); return };
  quiet($s);
  if (!connect($s, sockaddr_in($port, inet_aton($host))) && !$!{EINPROGRESS}) { put("path", "$id " . failed($! + 0)); return }
  $try{fileno $s} = { id => $id, kind => $kind, s => $s, begun => $now, next => $now, sent => 0, open => 0 };
}
sub pmtu { my $raw = getsockopt($_[0], 0, 14); defined $raw ? unpack("i", $raw) : 0 }
sub advance {
  my ($number, $readable) = @_;
  my $one = $try{$number};
  my $took = int((now() - $one->{begun}) * 1000);
  if ($one->{kind} eq "u") {
    if (defined recv($one->{s}, my $data, 2048, 0)) { done($number, "open $took") } elsif (!$!{EAGAIN}) { done($number, failed($! + 0)) }
    return;
  }
  if (!$one->{open}) {
    my $code = unpack("i", getsockopt($one->{s}, SOL_SOCKET, SO_ERROR));
    if ($code) { done($number, failed($code)); return }
    if ($one->{kind} eq "t") { done($number, "open $took"); return }
    @$one{qw(open begun data)} = (1, now(), "x" x $size);
  }
  if (length $one->{data}) {
    my $n = syswrite($one->{s}, $one->{data});
    if (defined $n) { substr($one->{data}, 0, $n) = "" } elsif (!$!{EAGAIN}) { done($number, "untried what listens there is not ours") }
  } elsif ($readable) {
    my $n = sysread($one->{s}, my $data, 1);
    if ($n) { done($number, "mtu " . pmtu($one->{s})) } elsif (defined $n || !$!{EAGAIN}) { done($number, "untried what listens there is not ours") }
  }
}

while (now() < $end) {
  begin(pop @wait) while @wait && keys(%try) < 400;
  my $now = now();
  my $soon = $end;
  for my $number (keys %try) {
    my $one = $try{$number};
    if ($now - $one->{begun} >= $patience * ($one->{open} ? 2 : 1)) { done($number, $one->{kind} eq "m" && $one->{open} ? "stalled " . pmtu($one->{s}) : "silent"); next }
    if ($one->{kind} eq "u" && $now >= $one->{next}) {
      $one->{sent}++;
      $one->{next} = $now + 0.15 * 2 ** $one->{sent};
      if (!defined send($one->{s}, $mark, 0) && !$!{EAGAIN}) { done($number, failed($! + 0)); next }
    }
    for ($one->{begun} + $patience * ($one->{open} ? 2 : 1), $one->{kind} eq "u" ? $one->{next} : $end) { $soon = $_ if $_ < $soon }
  }
  if (!$ended && !%try && !@wait) { put("paths", "done"); $ended = 1 }
  flush();
  my ($read, $write) = ("", "");
  vec($read, $_, 1) = 1 for 0, keys %listen, keys %call;
  for (keys %try) {
    if ($try{$_}{kind} eq "u" || ($try{$_}{open} && !length $try{$_}{data})) { vec($read, $_, 1) = 1 } else { vec($write, $_, 1) = 1 }
  }
  my $left = $soon - now();
  my $found = select($read, $write, undef, $left > 0.001 ? $left : 0.001);
  next if $found <= 0;
  if (vec($read, 0, 1)) {
    my $n = sysread(STDIN, my $data, 65536);
    exit 0 unless $n;
    $commands .= $data;
    while ($commands =~ s/^(.*)\n//) {
      my @words = split " ", $1;
      if (@words && $words[0] eq "go") { $patience = $words[1]; @wait = reverse @words[2 .. $#words]; $ended = 0 }
    }
  }
  for my $number (grep { vec($read, $_, 1) } keys %listen) {
    my ($one, $tcp) = @{ $listen{$number} };
    if ($tcp) { if (accept(my $new, $one)) { quiet($new); $call{fileno $new} = [$new, 0] } }
    elsif (defined(my $from = recv($one, my $data, 2048, 0))) { send($one, $data, 0, $from) if $data eq $mark }
  }
  for my $number (grep { vec($read, $_, 1) } keys %call) {
    my $one = $call{$number};
    next if !$one;
    my $n = sysread($one->[0], my $data, 65536);
    $one->[1] += $n || 0;
    if ($n) { syswrite($one->[0], "k") if $one->[1] == $size } elsif (defined $n || !$!{EAGAIN}) { delete $call{$number} }
  }
  for my $number (keys %try) { advance($number, vec($read, $number, 1)) if vec($read, $number, 1) || vec($write, $number, 1) }
}
