# Batch jobs from files and tables to files, tables and streams: rows byte for byte, rejected records, groups, and that an
# output appears whole or not at all, whatever happens on the way.
use strict;
use warnings;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;

my $root = PostgreSQL::Test::Utils::tempdir();
my $dir = "$root/d";
mkdir $dir or die $!;
my $node = strm_node('batch', conf => "fsync = off\nmax_wal_size = 4GB\nrestart_after_crash = on\nstrm_privacy.connector_directory = '$root'\n");

$node->safe_psql('postgres', q{CREATE EXTENSION strm_privacy;
SELECT strm.create_purpose(1, 'One'), strm.create_purpose(2, 'Two'), strm.create_purpose(3, 'Three');
SELECT strm.create_policy('short', interval '30 days', 'a policy', 'consent'), strm.activate_policy('short');
SELECT strm.create_data_connector('files', 'directory', '{"path": "d"}')});
strm_contract($node, 'acme/person/1.0.0',
	[ [ 'id', 'STRING', 1 ], [ 'name', 'STRING', 2 ], [ 'age', 'INTEGER', 3 ], [ 'ratio', 'FLOAT' ], [ 'ok', 'BOOLEAN' ], [ 'note', 'STRING' ],
	  [ 'tags', 'STRING', 2, 'repeated' ], [ 'counts', 'LONG', undef, 'repeated' ] ],
	'"dataSubjectField": "name", "validations": [{"field": "note", "type": "regex", "value": "^[^!]*$"}]');

my $json = JSON::PP->new->utf8->canonical;
my $jsonl = { jsonl => {} };

sub put { my ($name, $content) = @_; append_to_file("$dir/$name.new", $content); rename "$dir/$name.new", "$dir/$name" or die $!; return }
sub get { my ($name) = @_; return -e "$dir/$name" ? slurp_file("$dir/$name") : undef }
sub file { my ($name, $type, %more) = @_; return { data_connector_ref => { name => 'files' }, file_name => $name, $type ? (data_type => $type) : (), %more } }
sub derived { my ($place, $levels, %more) = @_; return { target => $place, consent_levels => $levels, %more } }
sub files { opendir my $d, $dir or die $!; return join ' ', sort grep { !/^\.\.?$/ } readdir $d }
sub wait_for { my ($sql, $what) = @_; ok($node->poll_query_until('postgres', $sql), $what); return }
sub value { my ($sql) = @_; return $node->safe_psql('postgres', $sql) }

# A configuration: source_data and the outputs, and what is not as it usually is here.
sub job
{
	my ($source, %more) = @_;
	return { source_data => ref $source ? $source : file($source), data_contract_ref => 'acme/person/1.0.0',
		consent => { consent_level_extractor => { field => 'consent' } },
		encryption => { timestamp_config => { field => 'at', format => 'yyyy-MM-dd HH:mm:ss', default_time_zone => { id => 'UTC' } } }, %more };
}

# Runs it as role; its error (empty when there was none) and notices.
sub run_job
{
	my ($job, $role) = @_;
	my $text = $json->encode($job);
	my ($out, $err);
	$node->psql('postgres', ($role ? "SET ROLE $role;\n" : '') . "CALL strm.run_batch_job(\$job\$$text\$job\$)", stderr => \$err, stdout => \$out, extra_params => ['--set=VERBOSITY=verbose']);
	my @error = $err =~ /^(psql:[^\n]*ERROR:.*?)(?=\nLOCATION|\nCONTEXT|\z)/ms;
	return ($error[0] // '', $err);
}

sub succeeds { my ($job, $what) = @_; my ($error, $all) = run_job($job); is($error, '', $what); return $all }
sub fails { my ($job, $pattern, $what, $role) = @_; my ($error) = run_job($job, $role); like($error, $pattern, $what); return $error }
sub same_lines { my ($got, $expected, $what) = @_; is($got, join('', map { "$_\r\n" } @$expected), $what); return }

# Ciphertexts and key links by the order in which they appear: C1, C2, ..., L1, L2, ...
sub normal
{
	my ($text) = @_;
	my (%cipher, %link);
	my $name = sub { my ($seen, $letter, $what) = @_; $seen->{$what} = $letter . (1 + keys %$seen) if !defined $seen->{$what}; return $seen->{$what} };
	$text =~ s{\bA[Q-f][A-Za-z0-9+/]{26,}=*}{$name->(\%cipher, 'C', $&)}ge;
	$text =~ s{\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b}{$name->(\%link, 'L', $&)}ge;
	return $text;
}

my $head = '"id","name","age","ratio","ok","note","tags","counts","strmMeta.eventContractRef","strmMeta.nonce","strmMeta.timestamp","strmMeta.keyLink","strmMeta.billingId","strmMeta.consentLevels"';
my $ref = '"acme/person/1.0.0","0"';

# --- CSV to CSV, byte for byte -----------------------------------------------------------------------------------------

put('people.csv', join("\n",
	'at,x,id,name,age,ratio,ok,note,tags,counts,consent',
	'2021-03-01 00:00:00,drop,a,Ann,41,1.50,t," two  blanks ","[""x"",null,""\u00e9""]","[1, 2]","[1,2,3]"',
	'2021-03-01 23:59:59,drop,a,Ann,41,-0,yes,,[],,1',
	'2021-03-02 00:00:00,drop,a,"A ""q"", n",,,,"line' . "\n" . 'break",,[],2',
	'2021-03-01 12:00:00,drop,,,7,1e3,false,"",,,',
	'2021-03-01 12:00:00,drop,"","",7,1e3,false,x,,,[2]') . "\n");
my %outputs = (encrypted_data => { target => file('enc.csv') }, encryption_keys_data => { target => file('keys.csv') },
	derived_data => [ derived(file('all.csv'), [ 1, 2, 3 ]), derived(file('two.csv'), [2]), derived(file('up.csv'), [2], consent_level_type => 'CUMULATIVE'),
		derived(file('masked.csv'), [ 1, 2 ], masked_fields => { hash_type => 'MURMUR3', seed => 'hi-there', field_patterns => { 'acme/person/1.0.0' => { field_patterns => [ 'id', 'note', 'tags' ] } } }) ]);
my $notices = succeeds(job('people.csv', %outputs), 'a job with all kinds of outputs');
like($notices, qr/NOTICE:.*left out: "x"/, 'unknown columns are told');
unlike($notices, qr/"consent"/, 'the consent column is not unknown');

same_lines(normal(get('enc.csv')), [ $head,
	qq("C1","C2","C3","1.50","t"," two  blanks ","[""C4"",null,""C5""]","[1, 2]",$ref,"1614556800000","L1",,"[1,2,3]"),
	qq("C1","C2","C3","-0","yes","","[]",,$ref,"1614643199000","L1",,"[1]"),
	qq("C6","C7",,,,"line\nbreak",,"[]",$ref,"1614643200000","L2",,"[2]"),
	qq("C8","C8","C9","1e3","false","",,,$ref,"1614600000000","L3",,"[]"),
	qq("C8","C8","C9","1e3","false","x",,,$ref,"1614600000000","L3",,"[2]") ], 'the encrypted rows');
same_lines(normal(get('all.csv')), [ $head,
	qq("a","Ann","41","1.50","t"," two  blanks ","[""x"",null,""\\u00e9""]","[1, 2]",$ref,"1614556800000","L1",,"[1,2,3]") ], 'GRANULAR: all levels are needed');
same_lines(normal(get('two.csv')), [ $head,
	qq("C1","Ann","C2","1.50","t"," two  blanks ","[""x"",null,""\\u00e9""]","[1, 2]",$ref,"1614556800000","L1",,"[1,2,3]"),
	qq("C3","A ""q"", n",,,,"line\nbreak",,"[]",$ref,"1614643200000","L2",,"[2]"),
	qq("C4","","C5","1e3","false","x",,,$ref,"1614600000000","L3",,"[2]") ], 'GRANULAR: one of several levels');
same_lines(normal(get('up.csv')), [ $head,
	qq("a","Ann","C1","1.50","t"," two  blanks ","[""x"",null,""\\u00e9""]","[1, 2]",$ref,"1614556800000","L1",,"[1,2,3]"),
	qq("a","A ""q"", n",,,,"line\nbreak",,"[]",$ref,"1614643200000","L2",,"[2]"),
	qq("","","C2","1e3","false","x",,,$ref,"1614600000000","L3",,"[2]") ], 'CUMULATIVE: fields up to the level');
my @masked = split /\r\n/, get('masked.csv');
is(scalar @masked, 2, 'a masked output has the consenting rows');
like($masked[1], qr/^"[0-9a-f]{20,32}","Ann","A[Q-f][^"]+","1\.50","t","[0-9a-f]{20,32}","\[""[0-9a-f]{20,32}"",null,""[0-9a-f]{20,32}""\]","\[1, 2\]"/, 'masks instead of values');
my @keys = split /\r\n/, get('keys.csv');
is($keys[0], '"keyLink","encryptionKey","policyId","expiresAt"', 'header of the keys file');
is(scalar @keys, 4, 'one key for each entity and UTC day');
like($keys[1], qr/^"[0-9a-f-]{36}","\{.*AesSivKey.*\}",,"\d+"$/, 'a keyset, no policy id, an expiry');
is(join(' ', sort map { /"(\d+)"$/ } @keys), join(' ', sort map { $_ + 2556 * 86400000 } 1614556800000, 1614556800000, 1614643200000), 'keys expire when the retention after their day ends');
is(value(q{SELECT string_agg(data_subject, '|' ORDER BY data_subject) FROM (SELECT DISTINCT * FROM strm.data_subjects()) AS s(data_subject)}), 'A "q", n|Ann', 'data subjects are registered, but not the empty one');
is(value('SELECT count(*) FROM strm.batch_job_intent'), 0, 'no intent is left');

# --- targets -----------------------------------------------------------------------------------------------------------

my $before = files();
fails(job('people.csv', encrypted_data => { target => file('enc.csv') }), qr/42710|22023.*exists/s, 'a target that exists is refused');
succeeds(job('people.csv', encrypted_data => { target => file('enc.csv', undef, overwrite => JSON::PP::true) }), 'unless it may be overwritten');
is(files(), $before, 'nothing else came to be');

# --- JSON Lines --------------------------------------------------------------------------------------------------------

put('people.jsonl', join("\n",
	'{"id": "a", "name": "Ann", "age": 41.0, "ratio": 1.50, "ok": true, "note": "\u00e9\n", "tags": ["x", null], "counts": [1, 2], "consent": [1, 2, 3], "at": "2021-03-01 00:00:00", "more": {}}',
	'{"id": "", "name": null, "ratio": "NaN", "consent": 1, "at": "2021-03-01 00:00:00"}', '') );
$notices = succeeds(job(file('people.jsonl', $jsonl), encrypted_data => { target => file('enc.jsonl', $jsonl) }, derived_data => [ derived(file('all.jsonl', $jsonl), [ 1, 2, 3 ]), derived(file('one.csv'), [1]) ]),
	'JSON Lines');
like($notices, qr/left out: "more"/, 'unknown members are told');
my @events = map { $json->decode($_) } split /\n/, get('all.jsonl');
is(scalar @events, 1, 'consent of JSON records');
my $meta = delete $events[0]{strmMeta};
is_deeply($events[0], { id => 'a', name => 'Ann', age => 41, ratio => 1.5, ok => JSON::PP::true, note => "\x{e9}\n", tags => [ 'x', undef ], counts => [ 1, 2 ] }, 'values have their types');
is_deeply([ sort keys %$meta ], [qw(consentLevels eventContractRef keyLink nonce timestamp)], 'members of strmMeta');
is_deeply([ @$meta{qw(consentLevels eventContractRef nonce timestamp)} ], [ [ 1, 2, 3 ], 'acme/person/1.0.0', 0, 1614556800000 ], 'values of strmMeta');
like(get('all.jsonl'), qr/"age": ?41[,}].*"ratio": ?1\.5[,}]/, 'numbers are canonical');
@events = map { $json->decode($_) } split /\n/, get('enc.jsonl');
like($events[0]{tags}[0], qr/^A[Q-f]/, 'elements are encrypted');
is($events[0]{tags}[1], undef, 'null elements stay');
is($events[1]{name}, undef, 'null stays null');
like($events[1]{id}, qr/^A[Q-f]/, 'an empty key field is encrypted');
is($events[1]{ratio}, 'NaN', 'what JSON has no number for');
like((split /\r\n/, get('one.csv'))[2], qr/^"",,,"NaN",,,,,/, 'from JSON to CSV');

put('types.jsonl', join("\n", map { "{\"id\": \"a\", \"at\": \"2021-03-01 00:00:00\"$_}" } ', "age": "41"', ', "name": 5', ', "ok": 1', ', "age": 1.5', ', "tags": "[]"', ', "tags": [1]', ', "counts": [1.5]', ', "age": 99999999999', ', "note": "!"') . "\nnot JSON\n" . '{"id": "a", "at": "2021-03-01 00:00:00", "counts": [' . join(',', (1) x 65537) . "]}\n");
succeeds(job(file('types.jsonl', $jsonl), max_rejects => 100, encrypted_data => { target => file('types.csv') }, rejects => { target => file('types-rejects.csv') }), 'values of wrong types');
my @rejects = split /\r\n/, get('types-rejects.csv');
is(shift @rejects, '"line","record","field","rule"', 'header of the rejects');
is(scalar @rejects, 11, 'every fault is listed');
is($rejects[10], '"11","11","counts","has too many elements"', 'an array that is too long');
is($rejects[0], '"1","1","age","is not a valid INTEGER"', 'a string is no INTEGER');
is($rejects[8], '"9","9","note","does not match the regular expression ""^[^!]*$"""', 'a validation');
like($rejects[9], qr/^"10","10",,"/, 'a line that is no JSON has no field');

# --- rejects -----------------------------------------------------------------------------------------------------------

my $secret = 'S3cretValue';
put('bad.csv', join("\n", 'at,id,name,age,ratio,ok,note,tags,counts,consent', "2021-03-01 00:00:00,a,$secret,1,1,t,,,,1", "2021-03-01 00:00:00,a,$secret,$secret,$secret,$secret,!$secret,$secret,[],1",
	"$secret,b,,,,,,,,1", ",b,,,,,,,,1", "2021-03-01 00:00:00,c,,,,", "2021-03-01 00:00:00,d,,,,,,,,1") . "\n");
my %bad = (encrypted_data => { target => file('bad-enc.csv') }, rejects => { target => file('rejects.csv') });
$before = files();
my $error = fails(job('bad.csv', %bad), qr/23514: the batch job rejected 1 of 2 records, and max_rejects allows 0.*record 2 on line 3: field "age": is not a valid INTEGER/s, 'one bad record fails a job');
unlike($error, qr/$secret/, 'the error holds no value');
is(files(), $before, 'nothing is published, nothing left');
fails(job('bad.csv', %bad, max_rejects => 3), qr/rejected 4 of 5 records, and max_rejects allows 3/, 'more bad records than allowed');
is(files(), $before, 'nothing is left again');
is(value(q{SELECT row_count, rejected_count, byte_count > 0 FROM strm.batch_jobs WHERE state = 'ERROR' ORDER BY created_at DESC LIMIT 1}), '5|4|t', 'how far it came is told, too');
succeeds(job('bad.csv', %bad, max_rejects => 4), 'as many bad records as allowed');
is(scalar(() = get('bad-enc.csv') =~ /\r\n/g), 3, 'the good ones are there');
unlike(get('rejects.csv'), qr/$secret/, 'rejects hold no value');
same_lines(get('rejects.csv') =~ s/("5","4",)[^\r]*/$1.../r =~ s/("4","3",)[^\r]*/$1.../r =~ s/("6","5",)[^\r]*/$1.../r, [ '"line","record","field","rule"', '"3","2","age","is not a valid INTEGER"', '"3","2","ratio","is not a valid FLOAT"',
	'"3","2","ok","is not a valid BOOLEAN"', '"3","2","note","does not match the regular expression ""^[^!]*$"""', '"3","2","tags","is not a valid STRING"', '"4","3",...', '"5","4",...', '"6","5",...' ], 'all faults of a record, by line, record and field');
is(value(q{SELECT rejected_count FROM strm.batch_job_state WHERE state = 'FINISHED' ORDER BY since DESC LIMIT 1}), 4, 'they are counted');

# --- consent -----------------------------------------------------------------------------------------------------------

put('consent.csv', join("\n", 'at,id,consent', map { "2021-03-01 00:00:00,$_" } 'a,yes', 'b,no', 'c,other', 'd,', 'e,"[2,1]"') . "\n");
my %consent = (default_consent_levels => [2], consent_level_extractor => { field => 'consent', field_patterns => { yes => { consent_levels => [ 3, 1 ] }, no => {} } });
$notices = succeeds(job('consent.csv', consent => \%consent, encrypted_data => { target => file('consent-enc.csv') }), 'a mapping of consent');
like($notices, qr/are null: "name", "age"/, 'fields that the source does not have are told');
is(join(' ', get('consent-enc.csv') =~ /"(\[[0-9,]*\])"\r/g), '[1,3] [] [2] [2] [2]', 'mapping, then default');
like((split /\r\n/, get('consent-enc.csv'))[1], qr/^"A[^"]+",,,,,,,,"acme/, 'what the source lacks is null');

# --- gzip, masks of the old platform -----------------------------------------------------------------------------------

put('mask.csv', join("\n", 'at,id,consent', map { "2021-03-01 00:00:00,$_,1" } 'unique-5', 'session-273', 'sensitive-0') . "\n");
system("gzip -k $dir/mask.csv") == 0 or die 'gzip';
succeeds(job('mask.csv.gz', derived_data => [ derived(file('mask-out.csv'), [1], masked_fields => { hash_type => 'MURMUR3', seed => 'hi-there', field_patterns => { 'acme/person/1.0.0' => { field_patterns => ['id'] } } }) ]),
	'a compressed source');
is(join(' ', get('mask-out.csv') =~ /^"([0-9a-f]{20,32})",,/mg), '1083e8169d7138e990cc30095578452 7cc66d130664caa9efacda1026c1c44 e49bd309eed4a5094437a71ac2bc1cad', 'masks as STRM made them');

# --- headers -----------------------------------------------------------------------------------------------------------

put('empty.csv', '');
put('header.csv', "at,id,name,age,ratio,ok,note,tags,counts,consent\n");
put('lacking.csv', "time,Id,name\n");
put('twice.csv', "at,id,id,consent\n");
my %enc = (encrypted_data => { target => file('h.csv') });
$before = files();
fails(job('empty.csv', %enc), qr/22023:/, 'an empty file has no header');
fails(job('lacking.csv', %enc), qr/22023: .*lacks columns that it needs: "id", "at", "consent".*does not know: "time", "Id"/s, 'all columns that lack in one error');
fails(job('twice.csv', %enc), qr/22023:.*"id"/s, 'a column that is there twice');
fails(job('none.csv', %enc), qr/22023:.*there is no "none.csv"/s, 'a source that does not exist');
is(files(), $before, 'nothing was left');
succeeds(job('header.csv', %enc), 'a file without records');
same_lines(get('h.csv'), [$head], 'gives one without records');

# --- groups ------------------------------------------------------------------------------------------------------------

my @rows = map { "2021-03-0" . (1 + $_ % 3) . " 10:00:00,k" . ($_ % 7) . ",n" . ($_ % 5) . ",1" } 1 .. 200;
put('whole.csv', join("\n", 'at,id,name,consent', @rows) . "\n");
put('half1.csv', join("\n", 'at,id,name,consent', @rows[ 0 .. 99 ]) . "\n");
put('half2.csv', join("\n", 'at,id,name,consent', @rows[ 100 .. 199 ]) . "\n");
my ($g1, $g2) = ('35ced9a7-413f-49e8-9320-d17ebbc7e2d2', '35ced9a7-413f-49e8-9320-d17ebbc7e2d3');
sub group { my ($group, $in, %more) = @_; my $job = job($in, %more); $job->{encryption}{batch_job_group_id} = $group; return $job }
succeeds(group($g1, 'half1.csv', encrypted_data => { target => file('half1-enc.csv') }, encryption_keys_data => { target => file('half1-keys.csv') }), 'one half of a group');
succeeds(group($g1, 'half2.csv', encrypted_data => { target => file('half2-enc.csv.gz') }), 'the other half');
succeeds(group($g1, 'whole.csv', encrypted_data => { target => file('whole1-enc.csv') }, encryption_keys_data => { target => file('whole1-keys.csv') }), 'all of it, in the same group');
succeeds(group($g2, 'whole.csv', encrypted_data => { target => file('whole2-enc.csv') }), 'and in another one');
system("gzip -dc $dir/half2-enc.csv.gz > $dir/half2-enc.csv") == 0 or die 'gzip';
is(get('half1-enc.csv') . (get('half2-enc.csv') =~ s/^[^\n]*\n//r), get('whole1-enc.csv'), 'one file in two jobs of a group is encrypted as in one');
isnt(get('whole2-enc.csv'), get('whole1-enc.csv'), 'another group has other keys');
is(normal(get('whole2-enc.csv')), normal(get('whole1-enc.csv')), 'and else the same');
is(scalar(() = get('whole1-keys.csv') =~ /\r\n/g), 22, 'keys of 7 entities on 3 days');
succeeds(group($g1, 'consent.csv', encryption_keys_data => { target => file('used-keys.csv') }), 'a job of a group that has keys');
is(scalar(() = get('used-keys.csv') =~ /\r\n/g), 6, 'exports only the keys that it used');
fails({ %{ group($g1, 'whole.csv', %enc, encrypted_data => { target => file('h2.csv') }) }, policy_id => 'short' }, qr/22023:.*policy/s, 'a group has one policy');
value('CREATE ROLE member IN ROLE strm_member; CREATE ROLE other IN ROLE strm_member');
value(q{SELECT strm.grant_data_connector('files', 'member')});
fails(group($g1, 'whole.csv', encrypted_data => { target => file('h2.csv') }), qr/22023:.*belongs to another role/s, 'a group is its owner\'s', 'member');
my @both = map { value('SELECT strm.create_batch_job($job$' . $json->encode(group('35ced9a7-413f-49e8-9320-d17ebbc7e2d4', 'whole.csv', encrypted_data => { target => file("both$_-enc.csv") })) . '$job$)') } 1, 2;
wait_for("SELECT count(*) = 2 FROM strm.batch_job WHERE id IN ('$both[0]', '$both[1]') AND state = 'FINISHED'", 'two jobs of a new group at once');
is(get('both1-enc.csv'), get('both2-enc.csv'), 'use the same keys');
fails(job('whole.csv', encrypted_data => { target => file('h2.csv') }), qr/permission denied|may not/s, 'a connector is for whom it is granted to', 'other');
fails(job('whole.csv', encryption_keys_data => { target => file('h2.csv') }, derived_data => [ derived(file('h3.csv'), [1]) ]), qr/strm_approver.*strm_key_exporter/s, 'derived data and keys need their roles', 'member');

# --- streams and tables ------------------------------------------------------------------------------------------------

value(q{SELECT strm.create_stream('people', contract => 'acme/person/1.0.0'), strm.create_derived_stream('people', '{1,2}');
SELECT strm.create_stream('parted', contract => 'acme/person/1.0.0', partition_by => '1 day'), strm.create_derived_stream('parted', '{1,2}');
GRANT INSERT ON people, parted TO member});
put('stream.csv', join("\n", 'at,id,name,age,tags,counts,note,consent', '2021-03-01 10:00:00,a,Ann,41,"[""x"",null,""\"""",""y""]","[1,2]",n,"[1,2]"', '2021-03-02 10:00:00,a,Ann,,[],,,"[1,2]"', '2021-03-02 10:00:00,b,Bob,,,,,2',
	'2021-03-02 10:00:00,,Bob,,,,,2') . "\n");
for my $stream ('people', 'parted')
{
	my ($failed) = run_job(job('stream.csv', encrypted_data => { target => { stream => $stream } }), 'member');
	like($failed, qr/23514: .*field "id": is the key field and must not be null or empty/s, "$stream: no empty key field in a stream");
	is(value("SELECT count(*) FROM $stream"), 0, 'no row is stored');
	($failed) = run_job(job('stream.csv', max_rejects => 1, encrypted_data => { target => { stream => $stream } }), 'member');
	is($failed, '', "records become rows of a stream by a role that may insert ($stream)");
	is(value("SELECT string_agg(concat_ws('|', extract(epoch FROM strm_timestamp)::bigint, strm_consent_levels, id, name, age, tags, counts, note), E'\\n' ORDER BY strm_timestamp, id) FROM ${stream}_1_2") =~ s/A[Q-f][^|]*/C/r,
		"1614592800|{1,2}|a|Ann|C|{x,NULL,\"\\\"\",y}|{1,2}|n\n1614679200|{1,2}|a|Ann|{}|", 'and are seen in its derived stream');
	is(value("SELECT string_agg(data_subject || ' ' || extract(epoch FROM window_start)::bigint || ' ' || extract(epoch FROM window_end)::bigint, ',' ORDER BY 1) FROM strm.data_subject_key_links('Ann', 'Bob') AS l(data_subject) WHERE l.stream::text = '$stream'"),
		'Ann 1614556800 1614643200,Ann 1614643200 1614729600,Bob 1614643200 1614729600', 'keys are of UTC days');
	is(value("SELECT count(DISTINCT strm_key_link) FROM $stream"), 3, 'one for each value and day');
}
is($node->psql('postgres', 'SET ROLE member; INSERT INTO people SELECT * FROM people'), 3, 'else nobody but its owner inserts sealed rows');
value('CREATE TABLE copied AS SELECT * FROM people');
my ($rc, $out, $err) = (0, '', '');
value('GRANT SELECT ON copied TO member; TRUNCATE people');
$rc = $node->psql('postgres', 'SET ROLE member; INSERT INTO people SELECT * FROM copied', stderr => \$err);
like($err, qr/only the owner of a stream may insert rows that are sealed already/, 'not after a job either');
fails(job('stream.csv', encrypted_data => { target => { stream => 'people' } }), qr/22023:.*permission denied/s, 'inserting needs the right to', 'other');
fails({ %{ group($g1, 'stream.csv', encrypted_data => { target => { stream => 'people' } }) }, policy_id => 'short' }, qr/22023:.*batch_job_group_id: .*policy_id: /s, 'a stream has its own keys');
value('CREATE TABLE source (at text, id text, name text, age int, ok boolean, consent int[], extra text)');
value(q{INSERT INTO source VALUES ('2021-03-01 00:00:00', 'a', 'Ann', 41, true, '{1,2,3}', 'x'), ('2021-03-01 00:00:00', '', NULL, NULL, NULL, NULL, 'x')});
succeeds(job({ table => 'source' }, encrypted_data => { target => { table => 'encrypted' } }, derived_data => [ derived({ table => 'derived' }, [ 1, 2, 3 ]), derived(file('from-table.csv'), [ 1, 2, 3 ]) ]), 'tables as source and targets');
is(value('SELECT string_agg(concat_ws(\'|\', id, name, age, ok, "strmMeta.timestamp", "strmMeta.consentLevels"), \'/\') FROM derived') =~ s/\s//gr, 'a|Ann|41|' . (value('SELECT ok FROM derived')) . '|1614556800000|[1,2,3]', 'rows of a derived table');
is(value('SELECT count(*) FROM encrypted WHERE id ~ \'^A[Q-f]\''), 2, 'rows of an encrypted table');
like((split /\r\n/, get('from-table.csv'))[1], qr/^"a","Ann","41",/, 'a file beside them');
fails(job({ table => 'source' }, encrypted_data => { target => { table => 'encrypted' } }), qr/42710/, 'a table that has rows is refused');
$before = files();
value(q{INSERT INTO source VALUES ('bad', 'a')});
fails(job({ table => 'source' }, encrypted_data => { target => { table => 'encrypted2' } }, derived_data => [ derived(file('no.csv'), [1]) ]), qr/23514/, 'a bad row');
is(value(q{SELECT to_regclass('encrypted2') IS NULL}), 't', 'no table is left');
is(files(), $before, 'and no file');

# --- whose rights ------------------------------------------------------------------------------------------------------

my $query = q{SELECT 'a' AS id, current_user::text AS note, '2021-03-01 00:00:00' AS at, '1' AS consent};
($error) = run_job(job({ query => $query }, encrypted_data => { target => file('whose.csv') }), 'member');
is($error, '', 'a query as source');
like(get('whose.csv'), qr/"member"/, 'runs as the owner of the job');
fails(job({ query => "$query, set_config('role', 'postgres', false) AS x" }, encrypted_data => { target => file('whose2.csv') }), qr/42501.*role/s, 'who cannot become somebody else', 'member');
value('REVOKE strm_member FROM member');
fails(job('whole.csv', encrypted_data => { target => file('h2.csv') }), qr/42501/s, 'rights are needed', 'member');
succeeds({ %{ job('whole.csv', encryption_keys_data => { target => file('short-keys.csv') }) }, policy_id => 'short' }, 'a job with a policy');
like(get('short-keys.csv'), qr/,"[0-9a-f-]{36}","1617148800000"\r/, 'its keys tell policy and expiry');

# --- cancelling and dying ----------------------------------------------------------------------------------------------

my $big = 'at,id,name,consent' . "\n";
$big .= "2021-03-01 10:00:00,k$_,n$_,1\n" for 1 .. 5000;
put('big.csv', $big);
{
	put('slow.csv', $big x 200);
	$before = files();
	my $id = value('SELECT strm.create_batch_job($job$' . $json->encode(job('slow.csv', max_rejects => 1000000, encrypted_data => { target => file('slow-enc.csv') }, encryption_keys_data => { target => file('slow-keys.csv') })) . '$job$)');
	wait_for("SELECT count(*) = 2 FROM strm.batch_job_intent WHERE job_id = '$id'", 'intents are committed before anything is written');
	value("SELECT strm.cancel_batch_job('$id')");
	wait_for("SELECT state = 'ERROR' FROM strm.batch_job WHERE id = '$id'", 'a job is cancelled');
	wait_for('SELECT count(*) = 0 FROM strm.batch_job_intent', 'its intents are gone');
	is(files(), $before, 'it leaves nothing');

	$id = value('SELECT strm.create_batch_job($job$' . $json->encode(job('slow.csv', max_rejects => 1000000, encrypted_data => { target => file('slow-enc.csv') }, encryption_keys_data => { target => file('slow-keys.csv') })) . '$job$)');
	wait_for("SELECT count(*) = 2 FROM strm.batch_job_intent WHERE job_id = '$id'", 'another one runs');
	isnt(files(), $before, 'it has begun to write');
	my $pid = value(q{SELECT pid FROM pg_stat_activity WHERE backend_type ~ 'strm_privacy.*job' LIMIT 1});
	kill 9, $pid;
	wait_for("SELECT state = 'ERROR' FROM strm.batch_job WHERE id = '$id'", 'a job whose process was killed is in state ERROR after the restart');
	wait_for('SELECT count(*) = 0 FROM strm.batch_job_intent', 'its intents are worked off');
	is(files(), $before, 'and what it had written is gone');

	$id = value('SELECT strm.create_batch_job($job$' . $json->encode(job('slow.csv', max_rejects => 1000000, encrypted_data => { target => file('slow-enc.csv') }, encryption_keys_data => { target => file('slow-keys.csv') })) . '$job$)');
	wait_for("SELECT count(*) = 2 FROM strm.batch_job_intent WHERE job_id = '$id'", 'one more runs');
	put('slow-keys.csv', 'not ours');
	wait_for("SELECT state = 'ERROR' FROM strm.batch_job WHERE id = '$id'", 'a job that cannot publish one of its outputs fails');
	wait_for('SELECT count(*) = 0 FROM strm.batch_job_intent', 'its intents are gone');
	is(files(), $before =~ s/(slow.csv)/slow-keys.csv $1/r, 'what it had published before is taken away');
	is(get('slow-keys.csv'), 'not ours', 'what was in the place stays');
	is(value("SELECT sqlstate FROM strm.batch_job_state WHERE job_id = '$id' ORDER BY number DESC LIMIT 1"), '42710', 'the error says so');
}

value(q{SELECT strm.archive_data_contract('acme/person/1.0.0')});
fails(job('whole.csv', encrypted_data => { target => file('h2.csv') }), qr/(22023|55000).*active/s, 'an archived contract takes no records');

$node->stop;
done_testing();
