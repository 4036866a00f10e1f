# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_selvedge_global_optspecs
    string join \n h/help V/version
end

function __fish_selvedge_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_selvedge_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_selvedge_using_subcommand
    set -l cmd (__fish_selvedge_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c selvedge -n "__fish_selvedge_needs_command" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_needs_command" -s V -l version -d 'Print version'
complete -c selvedge -n "__fish_selvedge_needs_command" -f -a "run" -d 'Start the node (also what `selvedge` alone does)'
complete -c selvedge -n "__fish_selvedge_needs_command" -f -a "check" -d 'Check a configuration file without starting anything'
complete -c selvedge -n "__fish_selvedge_needs_command" -f -a "pub" -d 'Publish messages (flags of mosquitto_pub)'
complete -c selvedge -n "__fish_selvedge_needs_command" -f -a "sub" -d 'Subscribe and print what arrives (flags of mosquitto_sub)'
complete -c selvedge -n "__fish_selvedge_needs_command" -f -a "twin" -d 'Read and change device twins of a running node'
complete -c selvedge -n "__fish_selvedge_needs_command" -f -a "fn" -d 'Make, try, deploy and watch functions'
complete -c selvedge -n "__fish_selvedge_needs_command" -f -a "explain" -d 'Say who sent a message, which versions ran on it and what came of it'
complete -c selvedge -n "__fish_selvedge_needs_command" -f -a "user" -d 'Add, change and remove users'
complete -c selvedge -n "__fish_selvedge_needs_command" -f -a "access" -d 'Ask the rules'
complete -c selvedge -n "__fish_selvedge_needs_command" -f -a "reload" -d 'Make a running node read users, rules, keys and certificates again'
complete -c selvedge -n "__fish_selvedge_needs_command" -f -a "cert" -d 'Make, extend, show and withdraw certificates'
complete -c selvedge -n "__fish_selvedge_needs_command" -f -a "store" -d 'Check, export, import and compact what a node keeps'
complete -c selvedge -n "__fish_selvedge_needs_command" -f -a "ota" -d 'Update the node, its functions and files; make and sign updates'
complete -c selvedge -n "__fish_selvedge_needs_command" -f -a "net" -d 'Show what crosses the network, peer by peer; keep peers out'
complete -c selvedge -n "__fish_selvedge_needs_command" -f -a "status" -d 'Show whether the node is well, and what it does'
complete -c selvedge -n "__fish_selvedge_needs_command" -f -a "bench" -d 'Put load on an MQTT broker and measure it'
complete -c selvedge -n "__fish_selvedge_needs_command" -f -a "internal-compile" -d 'Compile one function; a child process of the node'
complete -c selvedge -n "__fish_selvedge_needs_command" -f -a "internal-preflight" -d 'Show that this program runs here and make its functions ready; started by the version before'
complete -c selvedge -n "__fish_selvedge_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c selvedge -n "__fish_selvedge_using_subcommand run" -l config -d 'Configuration file (TOML); none means defaults' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand run" -l data -d 'Directory that holds all state' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand run" -l mqtt -d 'MQTT over TCP: ADDRESS:PORT (port 0: any free one) or off [default: 127.0.0.1:1883]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand run" -l ws -d 'MQTT over WebSocket, at /mqtt [default: 127.0.0.1:8083]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand run" -l mqtts -d 'MQTT over TLS; `selvedge cert create` makes the certificate [default: off]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand run" -l wss -d 'MQTT over WebSocket over TLS, at /mqtt [default: off]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand run" -l http -d 'Probes and metrics [default: 127.0.0.1:7883]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand run" -l net -d 'Count packets in the kernel: auto, on or off [default: auto]' -r -f -a "auto\t'Where the process has the rights; elsewhere the log has one line about it'
on\t'Yes; where it cannot, the log has a warning'
off\t'No'"
complete -c selvedge -n "__fish_selvedge_using_subcommand run" -l log -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c selvedge -n "__fish_selvedge_using_subcommand run" -l allow-anonymous -d 'Let everybody in without a login, also on addresses that other machines reach'
complete -c selvedge -n "__fish_selvedge_using_subcommand run" -l json -d 'Print one line of JSON when ready instead of the greeting'
complete -c selvedge -n "__fish_selvedge_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c selvedge -n "__fish_selvedge_using_subcommand check" -l config -d 'Configuration file (TOML)' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand check" -l data -d 'Data directory of the node, whose users and certificates are looked at, too' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand check" -l json -d 'Print the complete configuration, defaults included, as JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand check" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -s h -l host -d 'Broker' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -s p -l port -d 'Port of the broker [default: 1883, with TLS 8883]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -s L -l url -d 'mqtt:// or mqtts://[user[:password]@]host[:port]/topic, instead of -h, -p, -u, -P and -t' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -s A -d 'Local address to connect from' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -s i -l id -d 'Client identifier [default: made up]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -s I -l id-prefix -d 'Client identifier: this and the process id' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -s u -l username -d 'User' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -s P -l pw -d 'Password' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -l cafile -d 'TLS: believe servers whose certificate one of the authorities in this file (PEM) signed' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -l cert -d 'TLS: certificate of this client (PEM)' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -l key -d 'TLS: its private key (PEM)' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -s V -l protocol-version -d 'Protocol version' -r -f -a "5\t'MQTT 5'
311\t'MQTT 3.1.1'"
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -s k -l keepalive -d 'Keep-alive in seconds; 0 is none' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -s x -l session-expiry-interval -d 'Session expiry in seconds, -1 for never (MQTT 5) [default: 0, with -c never]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -s D -l property -d 'MQTT 5 property: connect|publish|subscribe|unsubscribe|disconnect|will NAME VALUE [VALUE]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -l will-topic -d 'Topic of the will' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -l will-payload -d 'Payload of the will' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -l will-qos -d 'QoS of the will' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -s t -l topic -d 'Topic' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -s m -l message -d 'Payload' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -s f -l file -d 'Payload is what this file holds' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -s q -l qos -d 'Quality of service' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -l repeat -d 'Publish this often' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -l repeat-delay -d 'Seconds between two repetitions' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -s M -l max-inflight -d 'QoS 1 and 2 messages in flight' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -l insecure -d 'TLS: believe any server'
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -l tls -d 'TLS with the authorities of this system'
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -s c -l disable-clean-session -d 'Keep the session: do not start clean'
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -l will-retain -d 'Retain the will'
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -l quiet -d 'Print nothing about errors'
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -s d -l debug -d 'Print each packet to stderr'
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -l nodelay -d 'Accepted and always so: TCP_NODELAY'
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -s l -l stdin-lines -d 'One message for each line of standard input'
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -s n -l null-message -d 'An empty payload (with -r: remove the retained message)'
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -s s -l stdin-file -d 'Payload is all of standard input'
complete -c selvedge -n "__fish_selvedge_using_subcommand pub" -s r -l retain -d 'Retain'
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -s h -l host -d 'Broker' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -s p -l port -d 'Port of the broker [default: 1883, with TLS 8883]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -s L -l url -d 'mqtt:// or mqtts://[user[:password]@]host[:port]/topic, instead of -h, -p, -u, -P and -t' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -s A -d 'Local address to connect from' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -s i -l id -d 'Client identifier [default: made up]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -s I -l id-prefix -d 'Client identifier: this and the process id' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -s u -l username -d 'User' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -s P -l pw -d 'Password' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -l cafile -d 'TLS: believe servers whose certificate one of the authorities in this file (PEM) signed' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -l cert -d 'TLS: certificate of this client (PEM)' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -l key -d 'TLS: its private key (PEM)' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -s V -l protocol-version -d 'Protocol version' -r -f -a "5\t'MQTT 5'
311\t'MQTT 3.1.1'"
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -s k -l keepalive -d 'Keep-alive in seconds; 0 is none' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -s x -l session-expiry-interval -d 'Session expiry in seconds, -1 for never (MQTT 5) [default: 0, with -c never]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -s D -l property -d 'MQTT 5 property: connect|publish|subscribe|unsubscribe|disconnect|will NAME VALUE [VALUE]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -l will-topic -d 'Topic of the will' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -l will-payload -d 'Payload of the will' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -l will-qos -d 'QoS of the will' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -s t -l topic -d 'Topic filter; repeat for more' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -s T -l filter-out -d 'Do not print messages whose topic matches; repeat for more' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -s U -l unsubscribe -d 'Unsubscribe first; repeat for more' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -s q -l qos -d 'Largest quality of service wanted' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -s C -d 'End after this many messages' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -s W -d 'End after this many seconds (with exit code 1, if -C asked for more)' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -s F -d 'Format of what is printed: %t topic, %p payload, %q QoS, %r retain, %j JSON, %x hex, %I time, %P user properties, …' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -l retain-handling -d 'When to send retained messages: always, new (subscription), never (MQTT 5)' -r -f -a "always\t'At each SUBSCRIBE'
new\t'If the subscription is new'
never\t'Not at all'"
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -l random-filter -d 'Print only this percentage of the messages, by chance' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -l insecure -d 'TLS: believe any server'
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -l tls -d 'TLS with the authorities of this system'
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -s c -l disable-clean-session -d 'Keep the session: do not start clean'
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -l will-retain -d 'Retain the will'
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -l quiet -d 'Print nothing about errors'
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -s d -l debug -d 'Print each packet to stderr'
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -l nodelay -d 'Accepted and always so: TCP_NODELAY'
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -s E -d 'End when subscribed (with -c: leaves a session behind)'
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -s v -l verbose -d 'Print topic and payload'
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -l json -d 'One JSON object a message (as -F %j)'
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -s N -d 'No newline after a message'
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -s R -d 'Do not print retained messages that a subscription finds'
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -l retained-only -d 'Print only retained messages, and end at the first that is not'
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -l remove-retained -d 'Remove the retained messages that arrive'
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -l retain-as-published -d 'Keep the retain flag as published (MQTT 5)'
complete -c selvedge -n "__fish_selvedge_using_subcommand sub" -l no-local -d 'Do not send back what this client published (MQTT 5)'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and not __fish_seen_subcommand_from get set patch inc add remove delete list watch query log blame diff sync group help" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and not __fish_seen_subcommand_from get set patch inc add remove delete list watch query log blame diff sync group help" -f -a "get" -d 'Print a twin'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and not __fish_seen_subcommand_from get set patch inc add remove delete list watch query log blame diff sync group help" -f -a "set" -d 'Set one member'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and not __fish_seen_subcommand_from get set patch inc add remove delete list watch query log blame diff sync group help" -f -a "patch" -d 'Apply a JSON merge patch (RFC 7396: null removes)'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and not __fish_seen_subcommand_from get set patch inc add remove delete list watch query log blame diff sync group help" -f -a "inc" -d 'Count up or down'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and not __fish_seen_subcommand_from get set patch inc add remove delete list watch query log blame diff sync group help" -f -a "add" -d 'Put an element into a set'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and not __fish_seen_subcommand_from get set patch inc add remove delete list watch query log blame diff sync group help" -f -a "remove" -d 'Take an element out of a set, or remove a counter or set'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and not __fish_seen_subcommand_from get set patch inc add remove delete list watch query log blame diff sync group help" -f -a "delete" -d 'Delete a twin'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and not __fish_seen_subcommand_from get set patch inc add remove delete list watch query log blame diff sync group help" -f -a "list" -d 'List all twins'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and not __fish_seen_subcommand_from get set patch inc add remove delete list watch query log blame diff sync group help" -f -a "watch" -d 'Print each change of a twin as it happens'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and not __fish_seen_subcommand_from get set patch inc add remove delete list watch query log blame diff sync group help" -f -a "query" -d 'Print the twins of which something holds'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and not __fish_seen_subcommand_from get set patch inc add remove delete list watch query log blame diff sync group help" -f -a "log" -d 'Print what was changed, the oldest first'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and not __fish_seen_subcommand_from get set patch inc add remove delete list watch query log blame diff sync group help" -f -a "blame" -d 'Print who wrote each field and when, and what lost against it'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and not __fish_seen_subcommand_from get set patch inc add remove delete list watch query log blame diff sync group help" -f -a "diff" -d 'Print what differs between two twins, or two revisions of one'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and not __fish_seen_subcommand_from get set patch inc add remove delete list watch query log blame diff sync group help" -f -a "sync" -d 'How the exchange of twins with other nodes stands'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and not __fish_seen_subcommand_from get set patch inc add remove delete list watch query log blame diff sync group help" -f -a "group" -d 'The group of nodes that exchange twins'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and not __fish_seen_subcommand_from get set patch inc add remove delete list watch query log blame diff sync group help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from get" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from get" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from get" -l section -d 'Only this half' -r -f -a "desired\t'What the device should be'
reported\t'What the device says it is'"
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from get" -l at -d 'As it was: a revision (7) or a time (2026-11-29T12:00:00Z)' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from get" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from get" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from set" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from set" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from set" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from patch" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from patch" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from patch" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from patch" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from inc" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from inc" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from inc" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from inc" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from add" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from add" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from add" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from add" -l latest -d 'Let the later of an addition and a removal win that did not know of each other, not the addition'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from remove" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from remove" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from remove" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from delete" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from delete" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from delete" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from list" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from list" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from watch" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from watch" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from watch" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from watch" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from query" -l limit -d 'At most so many' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from query" -l after -d 'Only those after this one, in the order of names: where the last answer ended' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from query" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from query" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from query" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from query" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from log" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from log" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from log" -l after -d 'Only changes after this revision' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from log" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from log" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from blame" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from blame" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from blame" -l section -d 'Only this half' -r -f -a "desired\t'What the device should be'
reported\t'What the device says it is'"
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from blame" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from blame" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from diff" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from diff" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from diff" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from diff" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from sync" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from sync" -f -a "status" -d 'Show how the exchange with the other nodes stands'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from sync" -f -a "identity" -d 'Show the number and the public key of this node'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from sync" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from group" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from group" -f -a "create" -d 'Make the key of a new group'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from group" -f -a "add" -d 'Take nodes in'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from group" -f -a "remove" -d 'Take a node out'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from group" -f -a "allow" -d 'Let nodes write a section of some things; the first such rule for a section ends that everybody may'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from group" -f -a "disallow" -d 'Take such a rule back'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from group" -f -a "show" -d 'Show members and rules'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from group" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from help" -f -a "get" -d 'Print a twin'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from help" -f -a "set" -d 'Set one member'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from help" -f -a "patch" -d 'Apply a JSON merge patch (RFC 7396: null removes)'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from help" -f -a "inc" -d 'Count up or down'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from help" -f -a "add" -d 'Put an element into a set'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Take an element out of a set, or remove a counter or set'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from help" -f -a "delete" -d 'Delete a twin'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from help" -f -a "list" -d 'List all twins'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from help" -f -a "watch" -d 'Print each change of a twin as it happens'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from help" -f -a "query" -d 'Print the twins of which something holds'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from help" -f -a "log" -d 'Print what was changed, the oldest first'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from help" -f -a "blame" -d 'Print who wrote each field and when, and what lost against it'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from help" -f -a "diff" -d 'Print what differs between two twins, or two revisions of one'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from help" -f -a "sync" -d 'How the exchange of twins with other nodes stands'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from help" -f -a "group" -d 'The group of nodes that exchange twins'
complete -c selvedge -n "__fish_selvedge_using_subcommand twin; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and not __fish_seen_subcommand_from new build check test dev deploy publish alias rollback versions gc invoke recordings replay promote shadow canary list stats top logs remove help" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and not __fish_seen_subcommand_from new build check test dev deploy publish alias rollback versions gc invoke recordings replay promote shadow canary list stats top logs remove help" -f -a "new" -d 'Write a new function to start from'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and not __fish_seen_subcommand_from new build check test dev deploy publish alias rollback versions gc invoke recordings replay promote shadow canary list stats top logs remove help" -f -a "build" -d 'Build the function in a directory to a component'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and not __fish_seen_subcommand_from new build check test dev deploy publish alias rollback versions gc invoke recordings replay promote shadow canary list stats top logs remove help" -f -a "check" -d 'Read the function.toml of a directory and say what it means, without a node'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and not __fish_seen_subcommand_from new build check test dev deploy publish alias rollback versions gc invoke recordings replay promote shadow canary list stats top logs remove help" -f -a "test" -d 'Run a built function on messages or recordings, without a node'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and not __fish_seen_subcommand_from new build check test dev deploy publish alias rollback versions gc invoke recordings replay promote shadow canary list stats top logs remove help" -f -a "dev" -d 'Build, deploy and follow the log again at each change of a directory'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and not __fish_seen_subcommand_from new build check test dev deploy publish alias rollback versions gc invoke recordings replay promote shadow canary list stats top logs remove help" -f -a "deploy" -d 'Give a built function to a running node'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and not __fish_seen_subcommand_from new build check test dev deploy publish alias rollback versions gc invoke recordings replay promote shadow canary list stats top logs remove help" -f -a "publish" -d 'Give a built function to a running node as a new version, without messages yet'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and not __fish_seen_subcommand_from new build check test dev deploy publish alias rollback versions gc invoke recordings replay promote shadow canary list stats top logs remove help" -f -a "alias" -d 'Share messages out to versions by weight, or show the aliases'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and not __fish_seen_subcommand_from new build check test dev deploy publish alias rollback versions gc invoke recordings replay promote shadow canary list stats top logs remove help" -f -a "rollback" -d 'Point an alias where it pointed before; again for a further step'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and not __fish_seen_subcommand_from new build check test dev deploy publish alias rollback versions gc invoke recordings replay promote shadow canary list stats top logs remove help" -f -a "versions" -d 'List the versions of a function'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and not __fish_seen_subcommand_from new build check test dev deploy publish alias rollback versions gc invoke recordings replay promote shadow canary list stats top logs remove help" -f -a "gc" -d 'Remove old versions that no alias needs'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and not __fish_seen_subcommand_from new build check test dev deploy publish alias rollback versions gc invoke recordings replay promote shadow canary list stats top logs remove help" -f -a "invoke" -d 'Run a function of a running node once, with all effects'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and not __fish_seen_subcommand_from new build check test dev deploy publish alias rollback versions gc invoke recordings replay promote shadow canary list stats top logs remove help" -f -a "recordings" -d 'Show, save or forget the recorded messages of a function'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and not __fish_seen_subcommand_from new build check test dev deploy publish alias rollback versions gc invoke recordings replay promote shadow canary list stats top logs remove help" -f -a "replay" -d 'Run a version on a recorded message again, without effects'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and not __fish_seen_subcommand_from new build check test dev deploy publish alias rollback versions gc invoke recordings replay promote shadow canary list stats top logs remove help" -f -a "promote" -d 'Run a version on the recorded messages; it goes live if nothing speaks against it'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and not __fish_seen_subcommand_from new build check test dev deploy publish alias rollback versions gc invoke recordings replay promote shadow canary list stats top logs remove help" -f -a "shadow" -d 'Let a version see the messages without effects, and compare'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and not __fish_seen_subcommand_from new build check test dev deploy publish alias rollback versions gc invoke recordings replay promote shadow canary list stats top logs remove help" -f -a "canary" -d 'Give a version part of the messages; it goes back by itself when it is worse'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and not __fish_seen_subcommand_from new build check test dev deploy publish alias rollback versions gc invoke recordings replay promote shadow canary list stats top logs remove help" -f -a "list" -d 'List the functions of a running node'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and not __fish_seen_subcommand_from new build check test dev deploy publish alias rollback versions gc invoke recordings replay promote shadow canary list stats top logs remove help" -f -a "stats" -d 'Show what a function and its versions did, and what they took'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and not __fish_seen_subcommand_from new build check test dev deploy publish alias rollback versions gc invoke recordings replay promote shadow canary list stats top logs remove help" -f -a "top" -d 'Show which functions are busiest, again and again'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and not __fish_seen_subcommand_from new build check test dev deploy publish alias rollback versions gc invoke recordings replay promote shadow canary list stats top logs remove help" -f -a "logs" -d 'Print what a function logged'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and not __fish_seen_subcommand_from new build check test dev deploy publish alias rollback versions gc invoke recordings replay promote shadow canary list stats top logs remove help" -f -a "remove" -d 'Take a function off a running node'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and not __fish_seen_subcommand_from new build check test dev deploy publish alias rollback versions gc invoke recordings replay promote shadow canary list stats top logs remove help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from new" -l lang -d 'Language of the template: rust, js, c or python' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from new" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from new" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from build" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from build" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from check" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from test" -l message -d 'Message as JSON (topic, payload, qos, retain, properties), or a file that holds it; without it, lines of the form `[topic] payload` are read from standard input' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from test" -l recording -d 'Run it on the recordings in this file instead, and compare' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from test" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from dev" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from dev" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from dev" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from deploy" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from deploy" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from deploy" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from deploy" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from publish" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from publish" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from publish" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from publish" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from alias" -l sticky -d 'What stays with one version: topic, client, or key (the user property of that name)' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from alias" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from alias" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from alias" -l remove -d 'Forget the alias'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from alias" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from alias" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from rollback" -l alias -d 'Name of the alias' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from rollback" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from rollback" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from rollback" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from rollback" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from versions" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from versions" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from versions" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from versions" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from gc" -l keep -d 'Versions that stay, those that aliases need included' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from gc" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from gc" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from gc" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from gc" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from invoke" -l message -d 'Message as JSON (topic, payload, qos, retain, properties), or a file that holds it' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from invoke" -l at -d 'Alias or version that runs' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from invoke" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from invoke" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from invoke" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from invoke" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from recordings" -l save -d 'Write them to this file, one JSON object a line' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from recordings" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from recordings" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from recordings" -l forget -d 'Forget them'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from recordings" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from recordings" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from replay" -l at -d 'The version that runs; without it, the one that ran then' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from replay" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from replay" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from replay" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from replay" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from promote" -l recording -d 'Messages to judge by, instead of those that the node has recorded' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from promote" -l messages -d 'Recordings that there must be' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from promote" -l changed -d 'Messages whose output may be another one' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from promote" -l failed -d 'Messages that may fail and did not before' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from promote" -l slower -d 'How many times as long a run may take' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from promote" -l memory -d 'How many times as much memory it may take' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from promote" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from promote" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from promote" -l dry-run -d 'Only say what would be'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from promote" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from promote" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from shadow" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from shadow" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from shadow" -l off -d 'No version any more'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from shadow" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from shadow" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from canary" -l percent -d 'Part of the messages that it gets' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from canary" -l for -d 'It goes live after this time' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from canary" -l messages -d 'and not before it has run so many messages' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from canary" -l failed -d 'Runs that may fail beyond the share of the other version' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from canary" -l slower -d 'How many times as long a run may take' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from canary" -l changed -d 'Messages whose output may be another one' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from canary" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from canary" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from canary" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from canary" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from list" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from list" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from stats" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from stats" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from stats" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from stats" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from top" -l every -d 'Seconds between two looks' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from top" -l times -d 'Tables until it ends; without it, it goes on' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from top" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from top" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from top" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from logs" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from logs" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from logs" -s f -l follow -d 'Go on printing what it logs'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from logs" -l json -d 'Print one JSON object a line'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from logs" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from remove" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from remove" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from remove" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from help" -f -a "new" -d 'Write a new function to start from'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from help" -f -a "build" -d 'Build the function in a directory to a component'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from help" -f -a "check" -d 'Read the function.toml of a directory and say what it means, without a node'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from help" -f -a "test" -d 'Run a built function on messages or recordings, without a node'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from help" -f -a "dev" -d 'Build, deploy and follow the log again at each change of a directory'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from help" -f -a "deploy" -d 'Give a built function to a running node'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from help" -f -a "publish" -d 'Give a built function to a running node as a new version, without messages yet'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from help" -f -a "alias" -d 'Share messages out to versions by weight, or show the aliases'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from help" -f -a "rollback" -d 'Point an alias where it pointed before; again for a further step'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from help" -f -a "versions" -d 'List the versions of a function'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from help" -f -a "gc" -d 'Remove old versions that no alias needs'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from help" -f -a "invoke" -d 'Run a function of a running node once, with all effects'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from help" -f -a "recordings" -d 'Show, save or forget the recorded messages of a function'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from help" -f -a "replay" -d 'Run a version on a recorded message again, without effects'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from help" -f -a "promote" -d 'Run a version on the recorded messages; it goes live if nothing speaks against it'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from help" -f -a "shadow" -d 'Let a version see the messages without effects, and compare'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from help" -f -a "canary" -d 'Give a version part of the messages; it goes back by itself when it is worse'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the functions of a running node'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from help" -f -a "stats" -d 'Show what a function and its versions did, and what they took'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from help" -f -a "top" -d 'Show which functions are busiest, again and again'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from help" -f -a "logs" -d 'Print what a function logged'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Take a function off a running node'
complete -c selvedge -n "__fish_selvedge_using_subcommand fn; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c selvedge -n "__fish_selvedge_using_subcommand explain" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand explain" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand explain" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand explain" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and not __fish_seen_subcommand_from add passwd disable enable remove list help" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and not __fish_seen_subcommand_from add passwd disable enable remove list help" -f -a "add" -d 'Add a user'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and not __fish_seen_subcommand_from add passwd disable enable remove list help" -f -a "passwd" -d 'Set another password'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and not __fish_seen_subcommand_from add passwd disable enable remove list help" -f -a "disable" -d 'Refuse every login of a user, and end its connections'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and not __fish_seen_subcommand_from add passwd disable enable remove list help" -f -a "enable" -d 'Let a user in again'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and not __fish_seen_subcommand_from add passwd disable enable remove list help" -f -a "remove" -d 'Remove a user, and end its connections'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and not __fish_seen_subcommand_from add passwd disable enable remove list help" -f -a "list" -d 'List the users'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and not __fish_seen_subcommand_from add passwd disable enable remove list help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from add" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from add" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from add" -l config -d 'Configuration of the node, if it names the files [default: as the running node says, else the data directory]' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from add" -l password-file -d 'Read it from this file (one line)' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from add" -l comment -d 'A note for people' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from add" -l stdin -d 'Read it from standard input (one line)'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from add" -l generate -d 'Make a random one and print it, once'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from add" -l scram -d 'Keep what SCRAM-SHA-256 needs, too (MQTT 5, enhanced authentication)'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from add" -l no-password -d 'No password: this user logs in with a certificate or a token'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from passwd" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from passwd" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from passwd" -l config -d 'Configuration of the node, if it names the files [default: as the running node says, else the data directory]' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from passwd" -l password-file -d 'Read it from this file (one line)' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from passwd" -l stdin -d 'Read it from standard input (one line)'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from passwd" -l generate -d 'Make a random one and print it, once'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from passwd" -l scram -d 'Keep what SCRAM-SHA-256 needs, too [default: as before]'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from passwd" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from disable" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from disable" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from disable" -l config -d 'Configuration of the node, if it names the files [default: as the running node says, else the data directory]' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from disable" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from enable" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from enable" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from enable" -l config -d 'Configuration of the node, if it names the files [default: as the running node says, else the data directory]' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from enable" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from remove" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from remove" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from remove" -l config -d 'Configuration of the node, if it names the files [default: as the running node says, else the data directory]' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from list" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from list" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from list" -l config -d 'Configuration of the node, if it names the files [default: as the running node says, else the data directory]' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from help" -f -a "add" -d 'Add a user'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from help" -f -a "passwd" -d 'Set another password'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from help" -f -a "disable" -d 'Refuse every login of a user, and end its connections'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from help" -f -a "enable" -d 'Let a user in again'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Remove a user, and end its connections'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the users'
complete -c selvedge -n "__fish_selvedge_using_subcommand user; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c selvedge -n "__fish_selvedge_using_subcommand access; and not __fish_seen_subcommand_from check help" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand access; and not __fish_seen_subcommand_from check help" -f -a "check" -d 'Say whether somebody may do something, by the files as they are now'
complete -c selvedge -n "__fish_selvedge_using_subcommand access; and not __fish_seen_subcommand_from check help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c selvedge -n "__fish_selvedge_using_subcommand access; and __fish_seen_subcommand_from check" -l user -d 'User [default: none]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand access; and __fish_seen_subcommand_from check" -l client -d 'Client identifier' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand access; and __fish_seen_subcommand_from check" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand access; and __fish_seen_subcommand_from check" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand access; and __fish_seen_subcommand_from check" -l config -d 'Configuration of the node, if it names the files [default: as the running node says, else the data directory]' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand access; and __fish_seen_subcommand_from check" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand access; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c selvedge -n "__fish_selvedge_using_subcommand access; and __fish_seen_subcommand_from help" -f -a "check" -d 'Say whether somebody may do something, by the files as they are now'
complete -c selvedge -n "__fish_selvedge_using_subcommand access; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c selvedge -n "__fish_selvedge_using_subcommand reload" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand reload" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand reload" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand reload" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand cert; and not __fish_seen_subcommand_from create renew show revoke help" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand cert; and not __fish_seen_subcommand_from create renew show revoke help" -f -a "create" -d 'Make an authority and a certificate of the node, or one of a client'
complete -c selvedge -n "__fish_selvedge_using_subcommand cert; and not __fish_seen_subcommand_from create renew show revoke help" -f -a "renew" -d 'Extend the certificate of the node, or the authority'
complete -c selvedge -n "__fish_selvedge_using_subcommand cert; and not __fish_seen_subcommand_from create renew show revoke help" -f -a "show" -d 'Show what stands in certificates and revocation lists'
complete -c selvedge -n "__fish_selvedge_using_subcommand cert; and not __fish_seen_subcommand_from create renew show revoke help" -f -a "revoke" -d 'Withdraw a client\'s certificate'
complete -c selvedge -n "__fish_selvedge_using_subcommand cert; and not __fish_seen_subcommand_from create renew show revoke help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c selvedge -n "__fish_selvedge_using_subcommand cert; and __fish_seen_subcommand_from create" -l data -d 'Data directory of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand cert; and __fish_seen_subcommand_from create" -l name -d 'A further host name or address of the box; repeat for more' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand cert; and __fish_seen_subcommand_from create" -l client -d 'Make a certificate for the client that logs in under this name' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand cert; and __fish_seen_subcommand_from create" -l out -d 'Where to put the client\'s files [default: tls/clients in the data directory]' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand cert; and __fish_seen_subcommand_from create" -l force -d 'Make new ones although there are some (without --client: also a new authority, which all clients then need)'
complete -c selvedge -n "__fish_selvedge_using_subcommand cert; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand cert; and __fish_seen_subcommand_from renew" -l data -d 'Data directory of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand cert; and __fish_seen_subcommand_from renew" -l name -d 'A further host name or address of the box; repeat for more' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand cert; and __fish_seen_subcommand_from renew" -l ca -d 'Extend the authority, too'
complete -c selvedge -n "__fish_selvedge_using_subcommand cert; and __fish_seen_subcommand_from renew" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand cert; and __fish_seen_subcommand_from show" -l data -d 'Data directory of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand cert; and __fish_seen_subcommand_from show" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand cert; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand cert; and __fish_seen_subcommand_from revoke" -l data -d 'Data directory of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand cert; and __fish_seen_subcommand_from revoke" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand cert; and __fish_seen_subcommand_from help" -f -a "create" -d 'Make an authority and a certificate of the node, or one of a client'
complete -c selvedge -n "__fish_selvedge_using_subcommand cert; and __fish_seen_subcommand_from help" -f -a "renew" -d 'Extend the certificate of the node, or the authority'
complete -c selvedge -n "__fish_selvedge_using_subcommand cert; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show what stands in certificates and revocation lists'
complete -c selvedge -n "__fish_selvedge_using_subcommand cert; and __fish_seen_subcommand_from help" -f -a "revoke" -d 'Withdraw a client\'s certificate'
complete -c selvedge -n "__fish_selvedge_using_subcommand cert; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c selvedge -n "__fish_selvedge_using_subcommand store; and not __fish_seen_subcommand_from check export import compact help" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand store; and not __fish_seen_subcommand_from check export import compact help" -f -a "check" -d 'Read everything and say what is there and what is damaged; exit code 1 if something is'
complete -c selvedge -n "__fish_selvedge_using_subcommand store; and not __fish_seen_subcommand_from check export import compact help" -f -a "export" -d 'Write everything that is alive into one file'
complete -c selvedge -n "__fish_selvedge_using_subcommand store; and not __fish_seen_subcommand_from check export import compact help" -f -a "import" -d 'Make a store from such a file, where there is none'
complete -c selvedge -n "__fish_selvedge_using_subcommand store; and not __fish_seen_subcommand_from check export import compact help" -f -a "compact" -d 'Give back the disk space of what is dead; a node does that by itself, little by little'
complete -c selvedge -n "__fish_selvedge_using_subcommand store; and not __fish_seen_subcommand_from check export import compact help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c selvedge -n "__fish_selvedge_using_subcommand store; and __fish_seen_subcommand_from check" -l config -d 'Configuration file of the node (TOML); none means defaults' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand store; and __fish_seen_subcommand_from check" -l data -d 'Data directory of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand store; and __fish_seen_subcommand_from check" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand store; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand store; and __fish_seen_subcommand_from export" -l config -d 'Configuration file of the node (TOML); none means defaults' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand store; and __fish_seen_subcommand_from export" -l data -d 'Data directory of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand store; and __fish_seen_subcommand_from export" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand store; and __fish_seen_subcommand_from export" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand store; and __fish_seen_subcommand_from import" -l config -d 'Configuration file of the node (TOML); none means defaults' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand store; and __fish_seen_subcommand_from import" -l data -d 'Data directory of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand store; and __fish_seen_subcommand_from import" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand store; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand store; and __fish_seen_subcommand_from compact" -l config -d 'Configuration file of the node (TOML); none means defaults' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand store; and __fish_seen_subcommand_from compact" -l data -d 'Data directory of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand store; and __fish_seen_subcommand_from compact" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand store; and __fish_seen_subcommand_from compact" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand store; and __fish_seen_subcommand_from help" -f -a "check" -d 'Read everything and say what is there and what is damaged; exit code 1 if something is'
complete -c selvedge -n "__fish_selvedge_using_subcommand store; and __fish_seen_subcommand_from help" -f -a "export" -d 'Write everything that is alive into one file'
complete -c selvedge -n "__fish_selvedge_using_subcommand store; and __fish_seen_subcommand_from help" -f -a "import" -d 'Make a store from such a file, where there is none'
complete -c selvedge -n "__fish_selvedge_using_subcommand store; and __fish_seen_subcommand_from help" -f -a "compact" -d 'Give back the disk space of what is dead; a node does that by itself, little by little'
complete -c selvedge -n "__fish_selvedge_using_subcommand store; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and not __fish_seen_subcommand_from status apply push check rollback pause resume retry trust init key add remove stage delegate publish rotate sign bundle list help" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and not __fish_seen_subcommand_from status apply push check rollback pause resume retry trust init key add remove stage delegate publish rotate sign bundle list help" -f -a "status" -d 'Show what runs, what waits, and how the last update ended'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and not __fish_seen_subcommand_from status apply push check rollback pause resume retry trust init key add remove stage delegate publish rotate sign bundle list help" -f -a "apply" -d 'Put a bundle in place'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and not __fish_seen_subcommand_from status apply push check rollback pause resume retry trust init key add remove stage delegate publish rotate sign bundle list help" -f -a "push" -d 'Send a bundle to a node over MQTT (flags of selvedge pub; -h is the host)'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and not __fish_seen_subcommand_from status apply push check rollback pause resume retry trust init key add remove stage delegate publish rotate sign bundle list help" -f -a "check" -d 'Look at the repository now; windows, pauses and staged roll-outs do not count'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and not __fish_seen_subcommand_from status apply push check rollback pause resume retry trust init key add remove stage delegate publish rotate sign bundle list help" -f -a "rollback" -d 'End the probation of a new version, or go back to the version before'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and not __fish_seen_subcommand_from status apply push check rollback pause resume retry trust init key add remove stage delegate publish rotate sign bundle list help" -f -a "pause" -d 'Take no updates by itself'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and not __fish_seen_subcommand_from status apply push check rollback pause resume retry trust init key add remove stage delegate publish rotate sign bundle list help" -f -a "resume" -d 'Take updates by itself again'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and not __fish_seen_subcommand_from status apply push check rollback pause resume retry trust init key add remove stage delegate publish rotate sign bundle list help" -f -a "retry" -d 'Try once more what did not hold'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and not __fish_seen_subcommand_from status apply push check rollback pause resume retry trust init key add remove stage delegate publish rotate sign bundle list help" -f -a "trust" -d 'Trust the publisher of this root.json'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and not __fish_seen_subcommand_from status apply push check rollback pause resume retry trust init key add remove stage delegate publish rotate sign bundle list help" -f -a "init" -d 'Publisher: make a repository and its keys'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and not __fish_seen_subcommand_from status apply push check rollback pause resume retry trust init key add remove stage delegate publish rotate sign bundle list help" -f -a "key" -d 'Publisher: make and list keys'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and not __fish_seen_subcommand_from status apply push check rollback pause resume retry trust init key add remove stage delegate publish rotate sign bundle list help" -f -a "add" -d 'Publisher: add a program, function or file, or a new version of one'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and not __fish_seen_subcommand_from status apply push check rollback pause resume retry trust init key add remove stage delegate publish rotate sign bundle list help" -f -a "remove" -d 'Publisher: take something out of the repository'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and not __fish_seen_subcommand_from status apply push check rollback pause resume retry trust init key add remove stage delegate publish rotate sign bundle list help" -f -a "stage" -d 'Publisher: offer something to a part of the nodes, or to nobody for now'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and not __fish_seen_subcommand_from status apply push check rollback pause resume retry trust init key add remove stage delegate publish rotate sign bundle list help" -f -a "delegate" -d 'Publisher: let other keys sign some paths'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and not __fish_seen_subcommand_from status apply push check rollback pause resume retry trust init key add remove stage delegate publish rotate sign bundle list help" -f -a "publish" -d 'Publisher: sign what waits, so that nodes see it'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and not __fish_seen_subcommand_from status apply push check rollback pause resume retry trust init key add remove stage delegate publish rotate sign bundle list help" -f -a "rotate" -d 'Publisher: change the keys of root, targets, snapshot or timestamp'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and not __fish_seen_subcommand_from status apply push check rollback pause resume retry trust init key add remove stage delegate publish rotate sign bundle list help" -f -a "sign" -d 'Publisher: add signatures to a new root or another metadata file'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and not __fish_seen_subcommand_from status apply push check rollback pause resume retry trust init key add remove stage delegate publish rotate sign bundle list help" -f -a "bundle" -d 'Publisher: write one file with what gateways need'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and not __fish_seen_subcommand_from status apply push check rollback pause resume retry trust init key add remove stage delegate publish rotate sign bundle list help" -f -a "list" -d 'Publisher: show what a repository says and what waits'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and not __fish_seen_subcommand_from status apply push check rollback pause resume retry trust init key add remove stage delegate publish rotate sign bundle list help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from status" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from status" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from status" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from apply" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from apply" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from apply" -l package -d 'With --offline: the installed program, for as long as no slot is good' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from apply" -l config -d 'With --offline: the configuration file' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from apply" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from apply" -l wait -d 'Wait until a new version is confirmed or taken back'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from apply" -l offline -d 'Put the new program into its slot here and now, for a node that does not run; --data names its data directory'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from apply" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from push" -s h -l host -d 'Broker' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from push" -s p -l port -d 'Port of the broker [default: 1883, with TLS 8883]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from push" -s L -l url -d 'mqtt:// or mqtts://[user[:password]@]host[:port]/topic, instead of -h, -p, -u, -P and -t' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from push" -s A -d 'Local address to connect from' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from push" -s i -l id -d 'Client identifier [default: made up]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from push" -s I -l id-prefix -d 'Client identifier: this and the process id' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from push" -s u -l username -d 'User' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from push" -s P -l pw -d 'Password' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from push" -l cafile -d 'TLS: believe servers whose certificate one of the authorities in this file (PEM) signed' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from push" -l cert -d 'TLS: certificate of this client (PEM)' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from push" -l key -d 'TLS: its private key (PEM)' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from push" -s V -l protocol-version -d 'Protocol version' -r -f -a "5\t'MQTT 5'
311\t'MQTT 3.1.1'"
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from push" -s k -l keepalive -d 'Keep-alive in seconds; 0 is none' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from push" -s x -l session-expiry-interval -d 'Session expiry in seconds, -1 for never (MQTT 5) [default: 0, with -c never]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from push" -s D -l property -d 'MQTT 5 property: connect|publish|subscribe|unsubscribe|disconnect|will NAME VALUE [VALUE]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from push" -l will-topic -d 'Topic of the will' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from push" -l will-payload -d 'Payload of the will' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from push" -l will-qos -d 'QoS of the will' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from push" -l insecure -d 'TLS: believe any server'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from push" -l tls -d 'TLS with the authorities of this system'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from push" -s c -l disable-clean-session -d 'Keep the session: do not start clean'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from push" -l will-retain -d 'Retain the will'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from push" -l quiet -d 'Print nothing about errors'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from push" -s d -l debug -d 'Print each packet to stderr'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from push" -l nodelay -d 'Accepted and always so: TCP_NODELAY'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from push" -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from push" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from check" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from check" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from check" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from check" -l wait -d 'Wait until a new version is confirmed or taken back'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from rollback" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from rollback" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from rollback" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from rollback" -l wait -d 'Wait until a new version is confirmed or taken back'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from rollback" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from pause" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from pause" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from pause" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from pause" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from resume" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from resume" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from resume" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from resume" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from retry" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from retry" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from retry" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from retry" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from trust" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from trust" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from trust" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from trust" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from init" -l keys -d 'Folder with the keys' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from init" -l days-root -d 'A new root counts for so many days' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from init" -l days-targets -d 'Targets count for so many days' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from init" -l days-snapshot -d 'The snapshot counts for so many days' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from init" -l days-timestamp -d 'The timestamp counts for so many days: how long a node can be kept from what is new without noticing' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from init" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from init" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from key" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from key" -f -a "new" -d 'Make a key'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from key" -f -a "list" -d 'List the keys of a folder'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from key" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from add" -l daemon -d 'It is the daemon, for this architecture' -r -f -a "aarch64\t'64-bit ARM'
x86_64\t'64-bit x86'"
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from add" -l file -d 'It is a file that the configuration of nodes knows by this name' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from add" -l version -d 'Its version; of a function [default: the one in function.toml]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from add" -l data-format -d 'With --daemon: newest format of stored data that it writes and reads' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from add" -l security-floor -d 'With --daemon: once it holds, nodes run no daemon with a lower number again' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from add" -l path -d 'Path in the repository [default: daemon/ARCHITECTURE/selvedge, functions/NAME.wasm or files/NAME]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from add" -l role -d 'Role that signs it' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from add" -l function -d 'It is a function'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from add" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from remove" -l role -d 'Role that signs it' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from remove" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from stage" -l percent -d 'To so many of a hundred nodes; a larger number includes all of a smaller one' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from stage" -l salt -d 'Another text chooses other nodes [default: the one before, or path and version]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from stage" -l role -d 'Role that signs it' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from stage" -l everybody -d 'To all nodes'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from stage" -l pause -d 'To nobody for now'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from stage" -l resume -d 'End a pause'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from stage" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from stage" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from delegate" -l paths -d 'Patterns of the paths that it may sign' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from delegate" -l key -d 'Public keys of the role' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from delegate" -l threshold -d 'So many of the keys must sign' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from delegate" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from delegate" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from publish" -l keys -d 'Folder with the keys' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from publish" -l patches-from -d 'Make patches from so many earlier contents of each path' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from publish" -l level -d 'How hard to compress, 1 to 22' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from publish" -l days-root -d 'A new root counts for so many days' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from publish" -l days-targets -d 'Targets count for so many days' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from publish" -l days-snapshot -d 'The snapshot counts for so many days' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from publish" -l days-timestamp -d 'The timestamp counts for so many days: how long a node can be kept from what is new without noticing' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from publish" -l dry-run -d 'Make the payloads and show their sizes; sign nothing'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from publish" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from publish" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from rotate" -l keys -d 'Folder with the keys' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from rotate" -l add -d 'Public keys to add' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from rotate" -l remove -d 'Beginnings of the ids of keys to remove (`selvedge ota list` shows them)' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from rotate" -l threshold -d 'So many of the role\'s keys must sign [default: as before]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from rotate" -l days-root -d 'A new root counts for so many days' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from rotate" -l days-targets -d 'Targets count for so many days' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from rotate" -l days-snapshot -d 'The snapshot counts for so many days' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from rotate" -l days-timestamp -d 'The timestamp counts for so many days: how long a node can be kept from what is new without noticing' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from rotate" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from rotate" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from sign" -l keys -d 'Folder with the keys' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from sign" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from sign" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from bundle" -l only -d 'Only these paths' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from bundle" -l from -d 'The gateways have the content with this SHA-256, or beginning of it: take the patch from it along' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from bundle" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from bundle" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from help" -f -a "status" -d 'Show what runs, what waits, and how the last update ended'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from help" -f -a "apply" -d 'Put a bundle in place'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from help" -f -a "push" -d 'Send a bundle to a node over MQTT (flags of selvedge pub; -h is the host)'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from help" -f -a "check" -d 'Look at the repository now; windows, pauses and staged roll-outs do not count'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from help" -f -a "rollback" -d 'End the probation of a new version, or go back to the version before'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from help" -f -a "pause" -d 'Take no updates by itself'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from help" -f -a "resume" -d 'Take updates by itself again'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from help" -f -a "retry" -d 'Try once more what did not hold'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from help" -f -a "trust" -d 'Trust the publisher of this root.json'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from help" -f -a "init" -d 'Publisher: make a repository and its keys'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from help" -f -a "key" -d 'Publisher: make and list keys'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from help" -f -a "add" -d 'Publisher: add a program, function or file, or a new version of one'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Publisher: take something out of the repository'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from help" -f -a "stage" -d 'Publisher: offer something to a part of the nodes, or to nobody for now'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from help" -f -a "delegate" -d 'Publisher: let other keys sign some paths'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from help" -f -a "publish" -d 'Publisher: sign what waits, so that nodes see it'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from help" -f -a "rotate" -d 'Publisher: change the keys of root, targets, snapshot or timestamp'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from help" -f -a "sign" -d 'Publisher: add signatures to a new root or another metadata file'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from help" -f -a "bundle" -d 'Publisher: write one file with what gateways need'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from help" -f -a "list" -d 'Publisher: show what a repository says and what waits'
complete -c selvedge -n "__fish_selvedge_using_subcommand ota; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and not __fish_seen_subcommand_from top status denials deny undeny allow disallow help" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and not __fish_seen_subcommand_from top status denials deny undeny allow disallow help" -f -a "top" -d 'Show the busiest peers, with the clients that connect from there'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and not __fish_seen_subcommand_from top status denials deny undeny allow disallow help" -f -a "status" -d 'Show whether packets are counted, on which interfaces, and what they amount to'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and not __fish_seen_subcommand_from top status denials deny undeny allow disallow help" -f -a "denials" -d 'Show who is denied, and who is never denied'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and not __fish_seen_subcommand_from top status denials deny undeny allow disallow help" -f -a "deny" -d 'Drop what comes from a peer, for a while'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and not __fish_seen_subcommand_from top status denials deny undeny allow disallow help" -f -a "undeny" -d 'End a denial'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and not __fish_seen_subcommand_from top status denials deny undeny allow disallow help" -f -a "allow" -d 'Never drop what comes from an address or network, until the node ends'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and not __fish_seen_subcommand_from top status denials deny undeny allow disallow help" -f -a "disallow" -d 'Take an address or network out of that list'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and not __fish_seen_subcommand_from top status denials deny undeny allow disallow help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from top" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from top" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from top" -s n -l peers -d 'Peers to show' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from top" -l every -d 'Between two looks' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from top" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from top" -l once -d 'Print once and end; also what happens when the output is no terminal'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from top" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from status" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from status" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from status" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from denials" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from denials" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from denials" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from denials" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from deny" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from deny" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from deny" -l for -d 'For how long: 30s, 10m, 2h, 7d' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from deny" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from deny" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from undeny" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from undeny" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from undeny" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from undeny" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from allow" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from allow" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from allow" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from allow" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from disallow" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from disallow" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from disallow" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from disallow" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from help" -f -a "top" -d 'Show the busiest peers, with the clients that connect from there'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from help" -f -a "status" -d 'Show whether packets are counted, on which interfaces, and what they amount to'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from help" -f -a "denials" -d 'Show who is denied, and who is never denied'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from help" -f -a "deny" -d 'Drop what comes from a peer, for a while'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from help" -f -a "undeny" -d 'End a denial'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from help" -f -a "allow" -d 'Never drop what comes from an address or network, until the node ends'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from help" -f -a "disallow" -d 'Take an address or network out of that list'
complete -c selvedge -n "__fish_selvedge_using_subcommand net; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c selvedge -n "__fish_selvedge_using_subcommand status" -l data -d 'Data directory of the node; its socket is control.sock in it' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand status" -l socket -d 'Socket of the node' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand status" -l json -d 'Print JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand status" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and not __fish_seen_subcommand_from pair pairs fan-out fan-in wildcard connect idle retained round-trip backlog relay help" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and not __fish_seen_subcommand_from pair pairs fan-out fan-in wildcard connect idle retained round-trip backlog relay help" -f -a "pair" -d 'One publisher to one subscriber'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and not __fish_seen_subcommand_from pair pairs fan-out fan-in wildcard connect idle retained round-trip backlog relay help" -f -a "pairs" -d 'N publishers to N subscribers, each pair with its own topic (default N: 10)'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and not __fish_seen_subcommand_from pair pairs fan-out fan-in wildcard connect idle retained round-trip backlog relay help" -f -a "fan-out" -d 'One publisher to N subscribers of one topic (default N: 100)'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and not __fish_seen_subcommand_from pair pairs fan-out fan-in wildcard connect idle retained round-trip backlog relay help" -f -a "fan-in" -d 'N publishers, each with its own topic, to one subscriber with a wildcard (default N: 100)'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and not __fish_seen_subcommand_from pair pairs fan-out fan-in wildcard connect idle retained round-trip backlog relay help" -f -a "wildcard" -d 'Messages that each match one of N wildcard filters (default N: 1000)'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and not __fish_seen_subcommand_from pair pairs fan-out fan-in wildcard connect idle retained round-trip backlog relay help" -f -a "connect" -d 'Connect, be accepted, disconnect; over and over'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and not __fish_seen_subcommand_from pair pairs fan-out fan-in wildcard connect idle retained round-trip backlog relay help" -f -a "idle" -d 'Hold N idle connections and look at the broker\'s memory'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and not __fish_seen_subcommand_from pair pairs fan-out fan-in wildcard connect idle retained round-trip backlog relay help" -f -a "retained" -d 'Leave N retained messages, then time a new subscriber that gets them all'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and not __fish_seen_subcommand_from pair pairs fan-out fan-in wildcard connect idle retained round-trip backlog relay help" -f -a "round-trip" -d 'Publish to one topic and time the answer on another, one message at a time: what a function takes'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and not __fish_seen_subcommand_from pair pairs fan-out fan-in wildcard connect idle retained round-trip backlog relay help" -f -a "backlog" -d 'Fill the queues of N sessions that are away, then let them come back for it (default N: 10)'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and not __fish_seen_subcommand_from pair pairs fan-out fan-in wildcard connect idle retained round-trip backlog relay help" -f -a "relay" -d 'Serve as the bare relay: copies PUBLISH bytes to subscribers, the ceiling of what a broker can reach'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and not __fish_seen_subcommand_from pair pairs fan-out fan-in wildcard connect idle retained round-trip backlog relay help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pair" -l host -d 'The broker\'s host name or address' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pair" -l port -d 'The broker\'s TCP port' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pair" -l protocol -d 'MQTT version: 4 is 3.1.1, 5 is 5' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pair" -l username -d 'User name to connect with' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pair" -l password -d 'Password to connect with' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pair" -l cafile -d 'Encrypt with TLS, trusting the certificates of this PEM file' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pair" -l websocket -d 'Speak MQTT over WebSocket, at this path' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pair" -l pid -d 'The broker\'s process id: also report its CPU time and memory, read from /proc' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pair" -l metrics -d 'Where the broker shows its counters (http://127.0.0.1:7883/metrics): also report how they grew' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pair" -l timeout-s -d 'Seconds without any progress after which the run is given up' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pair" -l qos -d 'Quality of service of publications and subscriptions' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pair" -l payload-bytes -d 'Payload size in bytes' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pair" -l messages -d 'Publish so many messages in all [default: as many as fit into 5 seconds]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pair" -l seconds -d 'Publish for so many seconds' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pair" -l window -d 'Messages that each publisher may have on the way, undelivered [default: 100]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pair" -l rate -d 'Publish so many messages a second in all, evenly spaced, instead of by window' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pair" -l publishers -d 'Publishers' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pair" -l subscribers -d 'Subscribers' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pair" -l warmup -d 'Messages published in all before measuring starts [default: a tenth of --messages, at most 10000]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pair" -l insecure -d 'Encrypt with TLS and trust any certificate: for measuring only'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pair" -l bare-relay -d 'Measure the bare relay, run as a thread of this process, instead of a broker'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pair" -l json -d 'Print the report as JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pair" -l durable -d 'Subscribers\' sessions outlive their connections; needs --qos 1 or 2. They are ended after the run'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pair" -l offline -d 'Subscribers are disconnected while messages are published: what is timed is the acknowledgement'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pair" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pairs" -l host -d 'The broker\'s host name or address' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pairs" -l port -d 'The broker\'s TCP port' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pairs" -l protocol -d 'MQTT version: 4 is 3.1.1, 5 is 5' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pairs" -l username -d 'User name to connect with' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pairs" -l password -d 'Password to connect with' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pairs" -l cafile -d 'Encrypt with TLS, trusting the certificates of this PEM file' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pairs" -l websocket -d 'Speak MQTT over WebSocket, at this path' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pairs" -l pid -d 'The broker\'s process id: also report its CPU time and memory, read from /proc' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pairs" -l metrics -d 'Where the broker shows its counters (http://127.0.0.1:7883/metrics): also report how they grew' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pairs" -l timeout-s -d 'Seconds without any progress after which the run is given up' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pairs" -l qos -d 'Quality of service of publications and subscriptions' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pairs" -l payload-bytes -d 'Payload size in bytes' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pairs" -l messages -d 'Publish so many messages in all [default: as many as fit into 5 seconds]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pairs" -l seconds -d 'Publish for so many seconds' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pairs" -l window -d 'Messages that each publisher may have on the way, undelivered [default: 100]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pairs" -l rate -d 'Publish so many messages a second in all, evenly spaced, instead of by window' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pairs" -l publishers -d 'Publishers' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pairs" -l subscribers -d 'Subscribers' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pairs" -l warmup -d 'Messages published in all before measuring starts [default: a tenth of --messages, at most 10000]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pairs" -l insecure -d 'Encrypt with TLS and trust any certificate: for measuring only'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pairs" -l bare-relay -d 'Measure the bare relay, run as a thread of this process, instead of a broker'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pairs" -l json -d 'Print the report as JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pairs" -l durable -d 'Subscribers\' sessions outlive their connections; needs --qos 1 or 2. They are ended after the run'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pairs" -l offline -d 'Subscribers are disconnected while messages are published: what is timed is the acknowledgement'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from pairs" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-out" -l host -d 'The broker\'s host name or address' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-out" -l port -d 'The broker\'s TCP port' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-out" -l protocol -d 'MQTT version: 4 is 3.1.1, 5 is 5' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-out" -l username -d 'User name to connect with' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-out" -l password -d 'Password to connect with' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-out" -l cafile -d 'Encrypt with TLS, trusting the certificates of this PEM file' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-out" -l websocket -d 'Speak MQTT over WebSocket, at this path' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-out" -l pid -d 'The broker\'s process id: also report its CPU time and memory, read from /proc' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-out" -l metrics -d 'Where the broker shows its counters (http://127.0.0.1:7883/metrics): also report how they grew' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-out" -l timeout-s -d 'Seconds without any progress after which the run is given up' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-out" -l qos -d 'Quality of service of publications and subscriptions' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-out" -l payload-bytes -d 'Payload size in bytes' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-out" -l messages -d 'Publish so many messages in all [default: as many as fit into 5 seconds]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-out" -l seconds -d 'Publish for so many seconds' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-out" -l window -d 'Messages that each publisher may have on the way, undelivered [default: 100]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-out" -l rate -d 'Publish so many messages a second in all, evenly spaced, instead of by window' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-out" -l publishers -d 'Publishers' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-out" -l subscribers -d 'Subscribers' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-out" -l warmup -d 'Messages published in all before measuring starts [default: a tenth of --messages, at most 10000]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-out" -l insecure -d 'Encrypt with TLS and trust any certificate: for measuring only'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-out" -l bare-relay -d 'Measure the bare relay, run as a thread of this process, instead of a broker'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-out" -l json -d 'Print the report as JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-out" -l durable -d 'Subscribers\' sessions outlive their connections; needs --qos 1 or 2. They are ended after the run'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-out" -l offline -d 'Subscribers are disconnected while messages are published: what is timed is the acknowledgement'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-out" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-in" -l host -d 'The broker\'s host name or address' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-in" -l port -d 'The broker\'s TCP port' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-in" -l protocol -d 'MQTT version: 4 is 3.1.1, 5 is 5' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-in" -l username -d 'User name to connect with' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-in" -l password -d 'Password to connect with' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-in" -l cafile -d 'Encrypt with TLS, trusting the certificates of this PEM file' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-in" -l websocket -d 'Speak MQTT over WebSocket, at this path' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-in" -l pid -d 'The broker\'s process id: also report its CPU time and memory, read from /proc' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-in" -l metrics -d 'Where the broker shows its counters (http://127.0.0.1:7883/metrics): also report how they grew' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-in" -l timeout-s -d 'Seconds without any progress after which the run is given up' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-in" -l qos -d 'Quality of service of publications and subscriptions' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-in" -l payload-bytes -d 'Payload size in bytes' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-in" -l messages -d 'Publish so many messages in all [default: as many as fit into 5 seconds]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-in" -l seconds -d 'Publish for so many seconds' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-in" -l window -d 'Messages that each publisher may have on the way, undelivered [default: 100]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-in" -l rate -d 'Publish so many messages a second in all, evenly spaced, instead of by window' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-in" -l publishers -d 'Publishers' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-in" -l subscribers -d 'Subscribers' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-in" -l warmup -d 'Messages published in all before measuring starts [default: a tenth of --messages, at most 10000]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-in" -l insecure -d 'Encrypt with TLS and trust any certificate: for measuring only'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-in" -l bare-relay -d 'Measure the bare relay, run as a thread of this process, instead of a broker'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-in" -l json -d 'Print the report as JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-in" -l durable -d 'Subscribers\' sessions outlive their connections; needs --qos 1 or 2. They are ended after the run'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-in" -l offline -d 'Subscribers are disconnected while messages are published: what is timed is the acknowledgement'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from fan-in" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from wildcard" -l host -d 'The broker\'s host name or address' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from wildcard" -l port -d 'The broker\'s TCP port' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from wildcard" -l protocol -d 'MQTT version: 4 is 3.1.1, 5 is 5' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from wildcard" -l username -d 'User name to connect with' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from wildcard" -l password -d 'Password to connect with' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from wildcard" -l cafile -d 'Encrypt with TLS, trusting the certificates of this PEM file' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from wildcard" -l websocket -d 'Speak MQTT over WebSocket, at this path' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from wildcard" -l pid -d 'The broker\'s process id: also report its CPU time and memory, read from /proc' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from wildcard" -l metrics -d 'Where the broker shows its counters (http://127.0.0.1:7883/metrics): also report how they grew' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from wildcard" -l timeout-s -d 'Seconds without any progress after which the run is given up' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from wildcard" -l qos -d 'Quality of service of publications and subscriptions' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from wildcard" -l payload-bytes -d 'Payload size in bytes' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from wildcard" -l messages -d 'Publish so many messages in all [default: as many as fit into 5 seconds]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from wildcard" -l seconds -d 'Publish for so many seconds' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from wildcard" -l window -d 'Messages that each publisher may have on the way, undelivered [default: 100]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from wildcard" -l rate -d 'Publish so many messages a second in all, evenly spaced, instead of by window' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from wildcard" -l publishers -d 'Publishers' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from wildcard" -l subscribers -d 'Subscribers' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from wildcard" -l warmup -d 'Messages published in all before measuring starts [default: a tenth of --messages, at most 10000]' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from wildcard" -l filters -d 'Wildcard filters in all, spread over the subscribers' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from wildcard" -l insecure -d 'Encrypt with TLS and trust any certificate: for measuring only'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from wildcard" -l bare-relay -d 'Measure the bare relay, run as a thread of this process, instead of a broker'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from wildcard" -l json -d 'Print the report as JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from wildcard" -l durable -d 'Subscribers\' sessions outlive their connections; needs --qos 1 or 2. They are ended after the run'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from wildcard" -l offline -d 'Subscribers are disconnected while messages are published: what is timed is the acknowledgement'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from wildcard" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from connect" -l host -d 'The broker\'s host name or address' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from connect" -l port -d 'The broker\'s TCP port' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from connect" -l protocol -d 'MQTT version: 4 is 3.1.1, 5 is 5' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from connect" -l username -d 'User name to connect with' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from connect" -l password -d 'Password to connect with' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from connect" -l cafile -d 'Encrypt with TLS, trusting the certificates of this PEM file' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from connect" -l websocket -d 'Speak MQTT over WebSocket, at this path' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from connect" -l pid -d 'The broker\'s process id: also report its CPU time and memory, read from /proc' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from connect" -l metrics -d 'Where the broker shows its counters (http://127.0.0.1:7883/metrics): also report how they grew' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from connect" -l timeout-s -d 'Seconds without any progress after which the run is given up' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from connect" -l connections -d 'Connections to make in all' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from connect" -l window -d 'Connections under way at any time' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from connect" -l insecure -d 'Encrypt with TLS and trust any certificate: for measuring only'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from connect" -l bare-relay -d 'Measure the bare relay, run as a thread of this process, instead of a broker'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from connect" -l json -d 'Print the report as JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from connect" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from idle" -l host -d 'The broker\'s host name or address' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from idle" -l port -d 'The broker\'s TCP port' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from idle" -l protocol -d 'MQTT version: 4 is 3.1.1, 5 is 5' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from idle" -l username -d 'User name to connect with' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from idle" -l password -d 'Password to connect with' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from idle" -l cafile -d 'Encrypt with TLS, trusting the certificates of this PEM file' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from idle" -l websocket -d 'Speak MQTT over WebSocket, at this path' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from idle" -l pid -d 'The broker\'s process id: also report its CPU time and memory, read from /proc' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from idle" -l metrics -d 'Where the broker shows its counters (http://127.0.0.1:7883/metrics): also report how they grew' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from idle" -l timeout-s -d 'Seconds without any progress after which the run is given up' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from idle" -l connections -d 'Connections to hold' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from idle" -l seconds -d 'Seconds to hold them' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from idle" -l insecure -d 'Encrypt with TLS and trust any certificate: for measuring only'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from idle" -l bare-relay -d 'Measure the bare relay, run as a thread of this process, instead of a broker'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from idle" -l json -d 'Print the report as JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from idle" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from retained" -l host -d 'The broker\'s host name or address' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from retained" -l port -d 'The broker\'s TCP port' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from retained" -l protocol -d 'MQTT version: 4 is 3.1.1, 5 is 5' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from retained" -l username -d 'User name to connect with' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from retained" -l password -d 'Password to connect with' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from retained" -l cafile -d 'Encrypt with TLS, trusting the certificates of this PEM file' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from retained" -l websocket -d 'Speak MQTT over WebSocket, at this path' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from retained" -l pid -d 'The broker\'s process id: also report its CPU time and memory, read from /proc' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from retained" -l metrics -d 'Where the broker shows its counters (http://127.0.0.1:7883/metrics): also report how they grew' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from retained" -l timeout-s -d 'Seconds without any progress after which the run is given up' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from retained" -l messages -d 'Retained messages, each on its own topic; removed again at the end' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from retained" -l subscribers -d 'Subscribers that ask for all of them, one after the other' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from retained" -l qos -d 'Quality of service of the subscriptions; messages are left with 1 or more, so that the broker says when it has them' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from retained" -l payload-bytes -d 'Payload size in bytes' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from retained" -l insecure -d 'Encrypt with TLS and trust any certificate: for measuring only'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from retained" -l bare-relay -d 'Measure the bare relay, run as a thread of this process, instead of a broker'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from retained" -l json -d 'Print the report as JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from retained" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from round-trip" -l host -d 'The broker\'s host name or address' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from round-trip" -l port -d 'The broker\'s TCP port' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from round-trip" -l protocol -d 'MQTT version: 4 is 3.1.1, 5 is 5' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from round-trip" -l username -d 'User name to connect with' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from round-trip" -l password -d 'Password to connect with' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from round-trip" -l cafile -d 'Encrypt with TLS, trusting the certificates of this PEM file' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from round-trip" -l websocket -d 'Speak MQTT over WebSocket, at this path' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from round-trip" -l pid -d 'The broker\'s process id: also report its CPU time and memory, read from /proc' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from round-trip" -l metrics -d 'Where the broker shows its counters (http://127.0.0.1:7883/metrics): also report how they grew' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from round-trip" -l timeout-s -d 'Seconds without any progress after which the run is given up' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from round-trip" -l topic -d 'Topic to publish to' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from round-trip" -l answer -d 'Topic filter on which each message is answered once' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from round-trip" -l payload -d 'What to publish' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from round-trip" -l messages -d 'Messages, one after the other, after a warm-up of a tenth (at most 100)' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from round-trip" -l qos -d 'Quality of service of publications and the subscription' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from round-trip" -l insecure -d 'Encrypt with TLS and trust any certificate: for measuring only'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from round-trip" -l bare-relay -d 'Measure the bare relay, run as a thread of this process, instead of a broker'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from round-trip" -l json -d 'Print the report as JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from round-trip" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from backlog" -l host -d 'The broker\'s host name or address' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from backlog" -l port -d 'The broker\'s TCP port' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from backlog" -l protocol -d 'MQTT version: 4 is 3.1.1, 5 is 5' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from backlog" -l username -d 'User name to connect with' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from backlog" -l password -d 'Password to connect with' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from backlog" -l cafile -d 'Encrypt with TLS, trusting the certificates of this PEM file' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from backlog" -l websocket -d 'Speak MQTT over WebSocket, at this path' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from backlog" -l pid -d 'The broker\'s process id: also report its CPU time and memory, read from /proc' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from backlog" -l metrics -d 'Where the broker shows its counters (http://127.0.0.1:7883/metrics): also report how they grew' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from backlog" -l timeout-s -d 'Seconds without any progress after which the run is given up' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from backlog" -l phase -d 'What to do; each phase can be run alone, with the same other options, and the broker restarted in between' -r -f -a "prepare\t'Make the sessions, subscribe, disconnect'
publish\t'Publish everything'
drain\t'Reconnect the sessions, acknowledge everything, count'
all\t'All three'"
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from backlog" -l name -d 'What clients and topics are called after' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from backlog" -l publishers -d 'Publishers' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from backlog" -l sessions -d 'Sessions, each with a topic of its own' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from backlog" -l messages -d 'Messages in all, at QoS 1' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from backlog" -l payload-bytes -d 'Payload size in bytes' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from backlog" -l window -d 'Messages that each publisher may have unacknowledged; the broker\'s receive maximum holds as well' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from backlog" -l expiry-s -d 'Seconds that the sessions stay after their connections' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from backlog" -l insecure -d 'Encrypt with TLS and trust any certificate: for measuring only'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from backlog" -l bare-relay -d 'Measure the bare relay, run as a thread of this process, instead of a broker'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from backlog" -l json -d 'Print the report as JSON'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from backlog" -l fan-out -d 'One topic for all sessions: each message waits in every one'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from backlog" -l keep-sessions -d 'Leave the empty sessions after the drain'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from backlog" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from relay" -l listen -d 'Where to listen; port 0 takes a free one' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from relay" -l drop-every -d 'Loses every Nth message, to see that a run notices it' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from relay" -l repeat-every -d 'Sends every Nth message twice, to see that a run notices it' -r
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from relay" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from help" -f -a "pair" -d 'One publisher to one subscriber'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from help" -f -a "pairs" -d 'N publishers to N subscribers, each pair with its own topic (default N: 10)'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from help" -f -a "fan-out" -d 'One publisher to N subscribers of one topic (default N: 100)'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from help" -f -a "fan-in" -d 'N publishers, each with its own topic, to one subscriber with a wildcard (default N: 100)'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from help" -f -a "wildcard" -d 'Messages that each match one of N wildcard filters (default N: 1000)'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from help" -f -a "connect" -d 'Connect, be accepted, disconnect; over and over'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from help" -f -a "idle" -d 'Hold N idle connections and look at the broker\'s memory'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from help" -f -a "retained" -d 'Leave N retained messages, then time a new subscriber that gets them all'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from help" -f -a "round-trip" -d 'Publish to one topic and time the answer on another, one message at a time: what a function takes'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from help" -f -a "backlog" -d 'Fill the queues of N sessions that are away, then let them come back for it (default N: 10)'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from help" -f -a "relay" -d 'Serve as the bare relay: copies PUBLISH bytes to subscribers, the ceiling of what a broker can reach'
complete -c selvedge -n "__fish_selvedge_using_subcommand bench; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c selvedge -n "__fish_selvedge_using_subcommand internal-compile" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand internal-preflight" -l config -d 'Configuration file' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand internal-preflight" -l data -d 'Data directory' -r -F
complete -c selvedge -n "__fish_selvedge_using_subcommand internal-preflight" -s h -l help -d 'Print help'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and not __fish_seen_subcommand_from run check pub sub twin fn explain user access reload cert store ota net status bench internal-compile internal-preflight help" -f -a "run" -d 'Start the node (also what `selvedge` alone does)'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and not __fish_seen_subcommand_from run check pub sub twin fn explain user access reload cert store ota net status bench internal-compile internal-preflight help" -f -a "check" -d 'Check a configuration file without starting anything'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and not __fish_seen_subcommand_from run check pub sub twin fn explain user access reload cert store ota net status bench internal-compile internal-preflight help" -f -a "pub" -d 'Publish messages (flags of mosquitto_pub)'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and not __fish_seen_subcommand_from run check pub sub twin fn explain user access reload cert store ota net status bench internal-compile internal-preflight help" -f -a "sub" -d 'Subscribe and print what arrives (flags of mosquitto_sub)'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and not __fish_seen_subcommand_from run check pub sub twin fn explain user access reload cert store ota net status bench internal-compile internal-preflight help" -f -a "twin" -d 'Read and change device twins of a running node'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and not __fish_seen_subcommand_from run check pub sub twin fn explain user access reload cert store ota net status bench internal-compile internal-preflight help" -f -a "fn" -d 'Make, try, deploy and watch functions'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and not __fish_seen_subcommand_from run check pub sub twin fn explain user access reload cert store ota net status bench internal-compile internal-preflight help" -f -a "explain" -d 'Say who sent a message, which versions ran on it and what came of it'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and not __fish_seen_subcommand_from run check pub sub twin fn explain user access reload cert store ota net status bench internal-compile internal-preflight help" -f -a "user" -d 'Add, change and remove users'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and not __fish_seen_subcommand_from run check pub sub twin fn explain user access reload cert store ota net status bench internal-compile internal-preflight help" -f -a "access" -d 'Ask the rules'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and not __fish_seen_subcommand_from run check pub sub twin fn explain user access reload cert store ota net status bench internal-compile internal-preflight help" -f -a "reload" -d 'Make a running node read users, rules, keys and certificates again'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and not __fish_seen_subcommand_from run check pub sub twin fn explain user access reload cert store ota net status bench internal-compile internal-preflight help" -f -a "cert" -d 'Make, extend, show and withdraw certificates'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and not __fish_seen_subcommand_from run check pub sub twin fn explain user access reload cert store ota net status bench internal-compile internal-preflight help" -f -a "store" -d 'Check, export, import and compact what a node keeps'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and not __fish_seen_subcommand_from run check pub sub twin fn explain user access reload cert store ota net status bench internal-compile internal-preflight help" -f -a "ota" -d 'Update the node, its functions and files; make and sign updates'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and not __fish_seen_subcommand_from run check pub sub twin fn explain user access reload cert store ota net status bench internal-compile internal-preflight help" -f -a "net" -d 'Show what crosses the network, peer by peer; keep peers out'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and not __fish_seen_subcommand_from run check pub sub twin fn explain user access reload cert store ota net status bench internal-compile internal-preflight help" -f -a "status" -d 'Show whether the node is well, and what it does'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and not __fish_seen_subcommand_from run check pub sub twin fn explain user access reload cert store ota net status bench internal-compile internal-preflight help" -f -a "bench" -d 'Put load on an MQTT broker and measure it'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and not __fish_seen_subcommand_from run check pub sub twin fn explain user access reload cert store ota net status bench internal-compile internal-preflight help" -f -a "internal-compile" -d 'Compile one function; a child process of the node'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and not __fish_seen_subcommand_from run check pub sub twin fn explain user access reload cert store ota net status bench internal-compile internal-preflight help" -f -a "internal-preflight" -d 'Show that this program runs here and make its functions ready; started by the version before'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and not __fish_seen_subcommand_from run check pub sub twin fn explain user access reload cert store ota net status bench internal-compile internal-preflight help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from twin" -f -a "get" -d 'Print a twin'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from twin" -f -a "set" -d 'Set one member'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from twin" -f -a "patch" -d 'Apply a JSON merge patch (RFC 7396: null removes)'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from twin" -f -a "inc" -d 'Count up or down'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from twin" -f -a "add" -d 'Put an element into a set'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from twin" -f -a "remove" -d 'Take an element out of a set, or remove a counter or set'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from twin" -f -a "delete" -d 'Delete a twin'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from twin" -f -a "list" -d 'List all twins'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from twin" -f -a "watch" -d 'Print each change of a twin as it happens'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from twin" -f -a "query" -d 'Print the twins of which something holds'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from twin" -f -a "log" -d 'Print what was changed, the oldest first'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from twin" -f -a "blame" -d 'Print who wrote each field and when, and what lost against it'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from twin" -f -a "diff" -d 'Print what differs between two twins, or two revisions of one'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from twin" -f -a "sync" -d 'How the exchange of twins with other nodes stands'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from twin" -f -a "group" -d 'The group of nodes that exchange twins'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from fn" -f -a "new" -d 'Write a new function to start from'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from fn" -f -a "build" -d 'Build the function in a directory to a component'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from fn" -f -a "check" -d 'Read the function.toml of a directory and say what it means, without a node'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from fn" -f -a "test" -d 'Run a built function on messages or recordings, without a node'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from fn" -f -a "dev" -d 'Build, deploy and follow the log again at each change of a directory'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from fn" -f -a "deploy" -d 'Give a built function to a running node'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from fn" -f -a "publish" -d 'Give a built function to a running node as a new version, without messages yet'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from fn" -f -a "alias" -d 'Share messages out to versions by weight, or show the aliases'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from fn" -f -a "rollback" -d 'Point an alias where it pointed before; again for a further step'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from fn" -f -a "versions" -d 'List the versions of a function'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from fn" -f -a "gc" -d 'Remove old versions that no alias needs'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from fn" -f -a "invoke" -d 'Run a function of a running node once, with all effects'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from fn" -f -a "recordings" -d 'Show, save or forget the recorded messages of a function'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from fn" -f -a "replay" -d 'Run a version on a recorded message again, without effects'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from fn" -f -a "promote" -d 'Run a version on the recorded messages; it goes live if nothing speaks against it'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from fn" -f -a "shadow" -d 'Let a version see the messages without effects, and compare'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from fn" -f -a "canary" -d 'Give a version part of the messages; it goes back by itself when it is worse'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from fn" -f -a "list" -d 'List the functions of a running node'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from fn" -f -a "stats" -d 'Show what a function and its versions did, and what they took'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from fn" -f -a "top" -d 'Show which functions are busiest, again and again'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from fn" -f -a "logs" -d 'Print what a function logged'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from fn" -f -a "remove" -d 'Take a function off a running node'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from user" -f -a "add" -d 'Add a user'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from user" -f -a "passwd" -d 'Set another password'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from user" -f -a "disable" -d 'Refuse every login of a user, and end its connections'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from user" -f -a "enable" -d 'Let a user in again'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from user" -f -a "remove" -d 'Remove a user, and end its connections'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from user" -f -a "list" -d 'List the users'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from access" -f -a "check" -d 'Say whether somebody may do something, by the files as they are now'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from cert" -f -a "create" -d 'Make an authority and a certificate of the node, or one of a client'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from cert" -f -a "renew" -d 'Extend the certificate of the node, or the authority'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from cert" -f -a "show" -d 'Show what stands in certificates and revocation lists'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from cert" -f -a "revoke" -d 'Withdraw a client\'s certificate'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from store" -f -a "check" -d 'Read everything and say what is there and what is damaged; exit code 1 if something is'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from store" -f -a "export" -d 'Write everything that is alive into one file'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from store" -f -a "import" -d 'Make a store from such a file, where there is none'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from store" -f -a "compact" -d 'Give back the disk space of what is dead; a node does that by itself, little by little'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from ota" -f -a "status" -d 'Show what runs, what waits, and how the last update ended'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from ota" -f -a "apply" -d 'Put a bundle in place'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from ota" -f -a "push" -d 'Send a bundle to a node over MQTT (flags of selvedge pub; -h is the host)'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from ota" -f -a "check" -d 'Look at the repository now; windows, pauses and staged roll-outs do not count'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from ota" -f -a "rollback" -d 'End the probation of a new version, or go back to the version before'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from ota" -f -a "pause" -d 'Take no updates by itself'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from ota" -f -a "resume" -d 'Take updates by itself again'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from ota" -f -a "retry" -d 'Try once more what did not hold'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from ota" -f -a "trust" -d 'Trust the publisher of this root.json'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from ota" -f -a "init" -d 'Publisher: make a repository and its keys'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from ota" -f -a "key" -d 'Publisher: make and list keys'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from ota" -f -a "add" -d 'Publisher: add a program, function or file, or a new version of one'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from ota" -f -a "remove" -d 'Publisher: take something out of the repository'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from ota" -f -a "stage" -d 'Publisher: offer something to a part of the nodes, or to nobody for now'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from ota" -f -a "delegate" -d 'Publisher: let other keys sign some paths'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from ota" -f -a "publish" -d 'Publisher: sign what waits, so that nodes see it'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from ota" -f -a "rotate" -d 'Publisher: change the keys of root, targets, snapshot or timestamp'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from ota" -f -a "sign" -d 'Publisher: add signatures to a new root or another metadata file'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from ota" -f -a "bundle" -d 'Publisher: write one file with what gateways need'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from ota" -f -a "list" -d 'Publisher: show what a repository says and what waits'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from net" -f -a "top" -d 'Show the busiest peers, with the clients that connect from there'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from net" -f -a "status" -d 'Show whether packets are counted, on which interfaces, and what they amount to'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from net" -f -a "denials" -d 'Show who is denied, and who is never denied'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from net" -f -a "deny" -d 'Drop what comes from a peer, for a while'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from net" -f -a "undeny" -d 'End a denial'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from net" -f -a "allow" -d 'Never drop what comes from an address or network, until the node ends'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from net" -f -a "disallow" -d 'Take an address or network out of that list'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from bench" -f -a "pair" -d 'One publisher to one subscriber'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from bench" -f -a "pairs" -d 'N publishers to N subscribers, each pair with its own topic (default N: 10)'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from bench" -f -a "fan-out" -d 'One publisher to N subscribers of one topic (default N: 100)'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from bench" -f -a "fan-in" -d 'N publishers, each with its own topic, to one subscriber with a wildcard (default N: 100)'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from bench" -f -a "wildcard" -d 'Messages that each match one of N wildcard filters (default N: 1000)'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from bench" -f -a "connect" -d 'Connect, be accepted, disconnect; over and over'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from bench" -f -a "idle" -d 'Hold N idle connections and look at the broker\'s memory'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from bench" -f -a "retained" -d 'Leave N retained messages, then time a new subscriber that gets them all'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from bench" -f -a "round-trip" -d 'Publish to one topic and time the answer on another, one message at a time: what a function takes'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from bench" -f -a "backlog" -d 'Fill the queues of N sessions that are away, then let them come back for it (default N: 10)'
complete -c selvedge -n "__fish_selvedge_using_subcommand help; and __fish_seen_subcommand_from bench" -f -a "relay" -d 'Serve as the bare relay: copies PUBLISH bytes to subscribers, the ceiling of what a broker can reach'
