@console
Feature: The management console

  An operator connects by telnet, nc or an expect script, logs in and configures everything
  while the gateway runs. What he is told names what is wrong, and what is refused has
  changed nothing.

  Scenario: Sending the first SMS
    Given a gateway that nobody has configured
    And the SMSC is up
    When the operator logs in
    And he types:
      """
      smppccm -a
      cid DEMO_CONNECTOR
      host <SMSC host>
      port <SMSC port>
      username smppclient1
      password password
      submit_throughput 110
      ok
      """
    Then he is told "Successfully added connector [DEMO_CONNECTOR]"
    When he types "smppccm -1 DEMO_CONNECTOR"
    Then he is told "Successfully started connector id:DEMO_CONNECTOR"
    And "smppccm --list" shows at last:
      """
      #Connector id                        Service Session          Starts Stops
      #DEMO_CONNECTOR                      started BOUND_TRX        1      0
      Total connectors: 1
      """
    When he types:
      """
      mtrouter -a
      type DefaultRoute
      connector smppc(DEMO_CONNECTOR)
      rate 0.00
      ok
      """
    Then he is told "Successfully added MTRoute [DefaultRoute] with order:0"
    When he types:
      """
      group -a
      gid foogroup
      ok
      user -a
      username foo
      password bar
      gid foogroup
      uid foo
      ok
      """
    Then he is told "Successfully added User [foo] to Group [foogroup]"
    When a message is sent
    Then it is accepted
    And the SMSC gets the message

  Scenario: Only who knows the password gets in
    Given a gateway that nobody has configured
    Then the operator cannot log in as "jcliadmin" with password "wrong"
    And the operator cannot log in as "nobody" with password "jclipwd"
    When the operator logs in
    And he types "group -l"
    Then he is told "Total Groups: 0"

  Scenario: Users are disabled and enabled, by themselves or with their group
    Given a gateway that nobody has configured
    When the operator logs in
    And he types:
      """
      group -a
      gid g1
      ok
      group --add
      gid g2
      ok
      user -a
      uid u1
      username foo
      password bar
      gid g1
      ok
      user --add
      uid u2
      username alice
      password secret
      gid g2
      ok
      user -d u1
      """
    Then he is told "Successfully disabled User id:u1"
    When a message is sent
    Then the answer is 403 Error "Authentication failure for username:foo"
    When he types "user --enable u1"
    And he types "group -d g1"
    Then he is told "Successfully disabled Group id:g1"
    When a message is sent
    Then the answer is 403 Error "Authentication failure for username:foo"
    When he types "user -l"
    Then he is told:
      """
      #User id          Group id         Username         Balance MT SMS Throughput
      #u1               !g1              foo              ND      ND     ND/ND
      #u2               g2               alice            ND      ND     ND/ND
      Total Users: 2
      """
    When he types "user --list g2"
    Then he is told:
      """
      #User id          Group id         Username         Balance MT SMS Throughput
      #u2               g2               alice            ND      ND     ND/ND
      Total Users in group [g2]: 1
      """
    When he types "group --enable=g1"
    And he types "user --disable=u2"
    And he types "user -l g2"
    Then he is told:
      """
      #User id          Group id         Username         Balance MT SMS Throughput
      #!u2              g2               alice            ND      ND     ND/ND
      Total Users in group [g2]: 1
      """
    When a message is sent
    Then the answer is 412 Error "No route found"
    When he types "group -r g2"
    Then he is told "Failed removing Group: group g2 is used by user u2"
    When he types "user -r u2"
    And he types "group --remove g2"
    Then he is told "Successfully removed Group id:g2"

  Scenario: A wrong value is named and leaves nothing half-changed
    Given a gateway that nobody has configured
    When the operator logs in
    And he types:
      """
      group -a
      gid g1
      ok
      user -a
      uid u1
      username foo
      password bar
      gid g1
      ok
      user -u u1
      mt_messaging_cred quota balance 10
      """
    And he types "mt_messaging_cred quota early_percent 101"
    Then he is told "Error: early_decrement_balance_percent is not a valid value (101.0), it must be None or a number in 1..100"
    When he types "mt_messaging_cred valuefilter dst_addr ["
    Then he is told "/Error: .*dst_addr: invalid value \"\[\".*/"
    When he types "gid nowhere"
    Then he is told "Unknown Group gid:nowhere, you must first create the Group"
    When he types "ko"
    And he types "user -s u1"
    Then he is told, among other things, "mt_messaging_cred quota balance ND"
    When he types:
      """
      smppccm -a
      cid smsc
      port 70000
      """
    Then he is told "Error: port: invalid value "70000", must be a whole number from 1 to 65535"
    When he types "bind both"
    Then he is told "Error: bind: invalid value "both", must be transceiver, transmitter or receiver"
    When he types "ko"
    And he types "smppccm -l"
    Then he is told "Total connectors: 0"
    When he types "user -x"
    Then he is told, among other things, "no such option: -x"
    When he types "user"
    Then he is told "Missing required option"
    When he types "nonsense"
    Then he is told "Incorrect command: nonsense, type help for a list of commands"

  Scenario: Quotas are set, added to and taken from while they are used
    Given a message part costs 1.5
    And the user "foo" has:
      | quota balance | 10 |
    And a running gateway
    When a message is sent
    Then it is accepted
    When the operator logs in
    And he types:
      """
      user -u foo
      mt_messaging_cred quota balance +10.25
      ok
      """
    Then he is told "Successfully updated User [foo]"
    And "foo" has a balance of 18.75 and an sms_count of "ND"
    When he types:
      """
      user -u foo
      mt_messaging_cred quota balance 1000
      ok
      """
    Then he is told, among other things, "Failed updating User: user foo is declared in <dir>/provision.yaml and can only be changed there"
    When he types "ko"
    Then "foo" has a balance of 18.75 and an sms_count of "ND"

  Scenario: A customer is unbound, and banned
    Given a gateway that nobody has configured
    When the operator logs in
    And he types:
      """
      group -a
      gid g1
      ok
      user -a
      uid u1
      username foo
      password bar
      gid g1
      ok
      """
    And the customer "foo" is bound
    And he types "user --smpp-unbind u1"
    Then he is told "Successfully unbound User id:u1"
    And the customer's session has ended
    When the customer "foo" is bound
    And he types "stats --user u1"
    Then he is told, among other things, "/#bind_count +SMPP Server +2/"
    When he types "user --smpp-ban=u1"
    Then he is told "Successfully unbound and banned User id:u1"
    And the customer's session has ended
    And the customer "foo" cannot bind any more
    When he types "user -s u1"
    Then he is told, among other things, "smpps_cred authorization bind False"

  Scenario: Connectors are started, stopped, changed and counted
    Given a gateway that nobody has configured
    And the SMSC is up
    When the operator logs in
    And he types:
      """
      smppccm --add
      cid main
      host <SMSC host>
      port <SMSC port>
      username smppclient1
      password password
      bind transmitter
      ok
      smppccm -1 main
      """
    Then "smppccm -l" shows at last:
      """
      #Connector id                        Service Session          Starts Stops
      #main                                started BOUND_TX         1      0
      Total connectors: 1
      """
    When he types "smppccm --start main"
    Then he is told "Failed starting connector: it is started already"
    When he types:
      """
      smppccm --update main
      bind transceiver
      """
    And he types "ok"
    Then he is told:
      """
      Restarting connector [main] for updates to take effect ...
      Successfully updated connector [main]
      """
    And "smppccm -l" shows at last:
      """
      #Connector id                        Service Session          Starts Stops
      #main                                started BOUND_TRX        2      1
      Total connectors: 1
      """
    When he types "smppccm -0 main"
    Then he is told "Successfully stopped connector id:main"
    And "smppccm -l" shows at last:
      """
      #Connector id                        Service Session          Starts Stops
      #main                                stopped None             2      2
      Total connectors: 1
      """
    When he types "stats --smppc main"
    Then he is told, among other things, "/#bound_count +2/"
    When he types "stats --smppcs"
    Then he is told, among other things, "Total connectors: 1"
    When he types "smppccm --stop=main"
    Then he is told "Failed stopping connector: it is stopped already"
    When he types "smppccm --remove main"
    Then he is told "Successfully removed connector id:main"
    When he types "smppccm -s main"
    Then he is told "Unknown connector: main"

  Scenario: Filters, routes and interceptors, and what uses them
    Given the setting [interceptor] timeout is "60"
    And a gateway that nobody has configured
    And the script "mt.py":
      """
      routable.pdu.params['short_message'] = b'changed'
      """
    When the operator logs in
    And he types:
      """
      filter -a
      fid france
      type DestinationAddrFilter
      destination_addr ^33
      ok
      filter --add
      type TransparentFilter
      fid all
      ok
      httpccm -a
      cid hook
      url http://127.0.0.1:1/mo
      method GET
      ok
      smppccm -a
      cid main
      ok
      mtrouter -a
      type StaticMTRoute
      order 20
      filters france;all
      connector smppc(main)
      rate 0.35
      ok
      """
    Then he is told "Successfully added MTRoute [StaticMTRoute] with order:20"
    When he types "mtrouter -l"
    Then he is told:
      """
      #Order Type                    Rate    Connector ID(s)                     Filter(s)
      #20    StaticMTRoute           0.35000 smppc(main)                         <DA (dst_addr=^33)>, <T>
      Total MT Routes: 1
      """
    When he types:
      """
      morouter --add
      type DefaultRoute
      connector http(hook)
      ok
      """
    Then he is told "Successfully added MORoute [DefaultRoute] with order:0"
    When he types "morouter -s 0"
    Then he is told "DefaultRoute to http(hook)"
    When he types:
      """
      mtinterceptor -a
      type StaticMTInterceptor
      order 5
      filters france
      script python3(<dir>/mt.py)
      ok
      """
    Then he is told "Successfully added MTInterceptor [StaticMTInterceptor] with order:5"
    When he types:
      """
      mointerceptor -a
      type DefaultInterceptor
      script python3(<dir>/mt.py)
      ok
      """
    Then he is told "Successfully added MOInterceptor [DefaultInterceptor] with order:0"
    When he types "filter -r france"
    Then he is told, among other things, "/Failed removing Filter: filter france is used by .*MT route 20.*/"
    When he types "httpccm -r hook"
    Then he is told "/Failed removing Httpcc: .*hook is used by MO route 0/"
    When he types "smppccm -r main"
    Then he is told "/Failed removing connector: .*main is used by MT route 20/"
    When he types "mtrouter --flush"
    Then he is told "Successfully flushed MT Route table (1 flushed entries)"
    When he types "mtinterceptor -f"
    Then he is told "Successfully flushed MT Interceptor table (1 flushed entries)"
    When he types "mointerceptor --remove 0"
    Then he is told "Successfully removed MO Interceptor with order:0"
    When he types "filter --remove france"
    Then he is told "Successfully removed Filter id:france"
    When he types "morouter -r 0"
    And he types "httpccm --remove hook"
    Then he is told "Successfully removed Httpcc id:hook"
    When he types "filter -l"
    Then he is told, among other things, "Total Filters: 1"

  @process
  Scenario: What is persisted is there after kill -9, and profiles are kept apart
    Given a gateway that nobody has configured
    When the operator logs in
    And he types:
      """
      group -a
      gid kept
      ok
      persist
      """
    Then he is told, among other things, "group configuration persisted (profile:jcli-prod)"
    When he types:
      """
      group -a
      gid other
      ok
      group -d kept
      persist -p testing
      """
    Then he is told, among other things, "user configuration persisted (profile:testing)"
    When the gateway is killed
    And the gateway starts again
    And the operator logs in
    And he types "group -l"
    Then he is told:
      """
      #Group id
      #kept
      Total Groups: 1
      """
    When he types "load --profile=testing"
    And he types "group -l"
    Then he is told:
      """
      #Group id
      #!kept
      #other
      Total Groups: 2
      """
    When he types "load -p nothing"
    Then he is told, among other things, "Failed to load group configuration (profile:nothing)"
    When he types "group -l"
    Then he is told, among other things, "Total Groups: 2"

  Scenario: What was not persisted is there after an orderly stop
    Given a gateway that nobody has configured
    When the operator logs in
    And he types:
      """
      group -a
      gid kept
      ok
      """
    Then he is told "Successfully added Group [kept]"
    When the gateway stops
    And the gateway starts again
    And the operator logs in
    And he types "group -l"
    Then he is told, among other things, "#kept"

  Scenario: The numbers of a message are in every table
    Given a running gateway
    When the operator logs in
    And he types "stats --users"
    Then he is told:
      """
      #User id  SMPP Bound connections  SMPP L.A.  HTTP requests counter  HTTP L.A.
      #foo      0                       ND         0                      ND
      Total users: 1
      """
    When a message is sent
    Then the SMSC gets the message
    And "stats --users" shows at last the line "/#foo +0 +ND +1 +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/"
    And "stats --user foo" shows at last the line "/#submit_sm_request_count +HTTP Api +1/"
    And "stats --httpapi" shows at last the line "/#success_count +1/"
    And "stats --smppc abc" shows at last the line "/#submit_sm_count +1/"
    And "stats --smppcs" shows at last the line "/#abc +\S+ \S+ +\S+ \S+ +ND +1/1 +0/0 +0 +0/"
    And "stats --smppsapi" shows at last the line "/#submit_sm_request_count +0/"
    And "stats --smppsapi" shows at last the line "/#last_received_pdu_at +ND/"

  Scenario: No password comes into a log
    Given every log says all it can
    And a gateway that nobody has configured
    And the SMSC is up
    When the operator logs in
    And he types:
      """
      smppccm -a
      cid main
      host <SMSC host>
      port <SMSC port>
      username smppclient1
      password password
      loglevel 10
      ok
      smppccm -1 main
      smppccm -a
      cid other
      host <SMSC host>
      port <SMSC port>
      username smppclient1
      password hush4
      loglevel 10
      ok
      smppccm -1 other
      group -a
      gid g1
      ok
      user -a
      uid u1
      username foo
      password hush1
      gid g1
      ok
      user -u u1
      password hush2
      ok
      mtrouter -a
      type DefaultRoute
      connector smppc(main)
      rate 0
      ok
      """
    And a message is sent with:
      | password | hush2 |
    Then the SMSC gets the message
    When a message is sent with:
      | password | hush3 |
    Then the answer is 403 Error "Authentication failure for username:foo"
    When the request "/balance?username=foo&password=hush2" is made
    And the customer "foo" is bound with password "hush2"
    And the customer "foo" cannot bind with password "hush5"
    And the operator cannot log in as "jcliadmin" with password "hush6"
    And the log "jcli.log" has a line with "login failed"
    And the log "default-main.log" has a line with "host=<SMSC host> port=<SMSC port>"
    And the log "default-other.log" has a line with "password=***"
    And the gateway stops
    Then no log has "hush" in it
    And no log has "jclipwd" in it
