@routing
Feature: Filters

  A filter of each type decides on a message's way: in MT routes, in MO routes, or in both. What matches
  goes to its route's connector, all else to that of the default route.

  Scenario Outline: An MT message and a <type> of <value>
    Given a connector "main" to the SMSC "one"
    And a connector "special" to the SMSC "two"
    And everything is routed to "main"
    And the provisioning file also declares:
      """
      filters:
        - {fid: f, type: <type><parameter>}
      mt_routes:
        - {type: StaticMTRoute, order: 20, filters: [f], connector: smppc(special)}
      """
    And a running gateway
    When a message is sent with:
      | from    | 20203050      |
      | to      | 85111         |
      | content | hello world   |
      | tags    | 21401,702,vip |
    Then it is accepted
    And the SMSC "<gets>" gets the message

    Examples:
      | type                  | value                    | parameter                                                                                          | gets |
      | TransparentFilter     | nothing                  |                                                                                                    | two  |
      | UserFilter            | who sends                | , uid: foo                                                                                         | two  |
      | UserFilter            | another                  | , uid: fo                                                                                          | one  |
      | GroupFilter           | his group                | , gid: everybody                                                                                   | two  |
      | GroupFilter           | another group            | , gid: every                                                                                       | one  |
      | SourceAddrFilter      | ^20\d+                   | , source_addr: '^20\d+'                                                                            | two  |
      | SourceAddrFilter      | ^21\d+                   | , source_addr: '^21\d+'                                                                            | one  |
      | DestinationAddrFilter | ^85111$                  | , destination_addr: '^85111$'                                                                      | two  |
      | DestinationAddrFilter | ^8511$                   | , destination_addr: '^8511$'                                                                       | one  |
      | ShortMessageFilter    | ^hello.*$                | , short_message: '^hello.*$'                                                                       | two  |
      | ShortMessageFilter    | ^world                   | , short_message: '^world'                                                                          | one  |
      | DateIntervalFilter    | two centuries            | , dateInterval: '2000-01-01;2199-12-31'                                                            | two  |
      | DateIntervalFilter    | a month that is over     | , dateInterval: '2014-09-01;2014-09-30'                                                            | one  |
      | TimeIntervalFilter    | the hours around now     | , timeInterval: '{now-6h};{now+6h}'                                                                | two  |
      | TimeIntervalFilter    | the other hours          | , timeInterval: '{now+6h};{now-6h}'                                                                | one  |
      | TagFilter             | a tag                    | , tag: '21401'                                                                                     | two  |
      | TagFilter             | part of a tag            | , tag: '2140'                                                                                      | one  |
      | EvalPyFilter          | a script that passes it  | , pyCode: /f.py, code: "result = routable.user.username == 'foo'"                                  | two  |
      | EvalPyFilter          | a script that does not   | , pyCode: /f.py, code: "if routable.user.username == 'foo':\n    result = False\nelse:\n    result = True" | one  |
      | EvalPyFilter          | a script that says nothing | , pyCode: /f.py, code: "pass"                                                                    | one  |
      | EvalPyFilter          | a rule                   | , pyCode: 'expr(destination_addr startsWith "85")'                                                 | two  |

  Scenario Outline: A message from a mobile and a <type> of <value>
    Given the provisioning file also declares:
      """
      filters:
        - {fid: f, type: <type><parameter>}
      http_connectors:
        - {cid: special, url: "{pages}/special", method: GET}
      mo_interceptors:
        - {type: DefaultInterceptor, script: python3(/mo.py), code: "routable.addTag('21401')"}
      mo_routes:
        - {type: StaticMORoute, order: 20, filters: [f], connector: http(special)}
      """
    And MO go to "http(main)"
    And a running gateway
    When a mobile sends "hello world" with:
      | from | 20203050 |
      | to   | 85111    |
    Then the SMSC is answered ESME_ROK
    And the page "/<called>" is called by GET with:
      | from             | 20203050    |
      | to               | 85111       |
      | content          | hello world |
      | origin-connector | abc         |

    Examples:
      | type                  | value                    | parameter                                                          | called  |
      | TransparentFilter     | nothing                  |                                                                    | special |
      | ConnectorFilter       | where it comes in        | , cid: abc                                                         | special |
      | ConnectorFilter       | another connector        | , cid: abcd                                                        | main    |
      | SourceAddrFilter      | ^20\d+                   | , source_addr: '^20\d+'                                            | special |
      | SourceAddrFilter      | ^21\d+                   | , source_addr: '^21\d+'                                            | main    |
      | DestinationAddrFilter | ^85111$                  | , destination_addr: '^85111$'                                      | special |
      | DestinationAddrFilter | ^8511$                   | , destination_addr: '^8511$'                                       | main    |
      | ShortMessageFilter    | ^hello.*$                | , short_message: '^hello.*$'                                       | special |
      | ShortMessageFilter    | ^world                   | , short_message: '^world'                                          | main    |
      | DateIntervalFilter    | two centuries            | , dateInterval: '2000-01-01;2199-12-31'                            | special |
      | DateIntervalFilter    | a month that is over     | , dateInterval: '2014-09-01;2014-09-30'                            | main    |
      | TimeIntervalFilter    | the hours around now     | , timeInterval: '{now-6h};{now+6h}'                                | special |
      | TimeIntervalFilter    | the other hours          | , timeInterval: '{now+6h};{now-6h}'                                | main    |
      | TagFilter             | a tag of an interceptor  | , tag: '21401'                                                     | special |
      | TagFilter             | another tag              | , tag: '21403'                                                     | main    |
      | EvalPyFilter          | a script that passes it  | , pyCode: /f.py, code: "result = routable.connector.cid == 'abc'"  | special |
      | EvalPyFilter          | a script that does not   | , pyCode: /f.py, code: "result = routable.connector.cid == 'abcd'" | main    |
      | EvalPyFilter          | a rule                   | , pyCode: 'expr(content startsWith "hello")'                       | special |

  Scenario Outline: A <type> is of no use in <direction> routes
    Given a running gateway
    When the provisioning file also declares:
      """
      filters:
        - {fid: f, type: <type>, <parameter>}
      http_connectors:
        - {cid: special, url: "{pages}/special", method: GET}
      <section>:
        - {type: <route>, order: 20, filters: [f], connector: <connector>}
      """
    Then loading the provisioning file again fails, saying "<type> f cannot be used in <direction> routes"
    When a message is sent
    Then the SMSC gets the message

    Examples:
      | type            | parameter      | direction | section   | route         | connector     |
      | ConnectorFilter | cid: abc       | MT        | mt_routes | StaticMTRoute | smppc(abc)    |
      | UserFilter      | uid: foo       | MO        | mo_routes | StaticMORoute | http(special) |
      | GroupFilter     | gid: everybody | MO        | mo_routes | StaticMORoute | http(special) |
